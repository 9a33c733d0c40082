locals {
  # Repositories of Artifact Registry that images lie in: LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE.
  repositories = {
    for parts in distinct([
      for image in values(local.images) : regex("^([a-z0-9-]+)-docker[.]pkg[.]dev/([^/]+)/([^/]+)/", image)
      if can(regex("^[a-z0-9-]+-docker[.]pkg[.]dev/[^/]+/[^/]+/", image))
    ]) : join("/", parts) => { location = parts[0], project = parts[1], repository = parts[2] }
  }
}

resource "google_artifact_registry_repository_iam_member" "images" {
  for_each = local.repositories

  project    = each.value.project
  location   = each.value.location
  repository = each.value.repository
  role       = "roles/artifactregistry.reader"
  member     = local.image_reader
}
