"""Comments on pull requests at GitHub, GitLab, Azure Repos and Bitbucket: one comment, kept up to date."""
