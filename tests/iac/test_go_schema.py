"""Schemas that are read from the Go source of a provider."""

from iac.extract_go_schema import Reader, block, forcing, schema_of

SOURCE = """
func ResourceThing() *schema.Resource {
	return &schema.Resource{
		Timeouts: &schema.ResourceTimeout{
			Create: schema.DefaultTimeout(10 * time.Minute),
		},
		Schema: map[string]*schema.Schema{
			thingName: { // "quoted": {comment}
				Type:         schema.TypeString,
				Required:     true,
				ValidateFunc: validate.InvokeValidator("thing", "name"),
				Description:  "a, {b}: \\"c\\"",
			},
			"size": &schema.Schema{Type: schema.TypeInt, Optional: true, Computed: true, ForceNew: true},
			"tags": {Type: schema.TypeSet, Optional: true, Elem: &schema.Schema{Type: schema.TypeString, Set: f(x)}},
			"disk": {
				Type:     schema.TypeList,
				MaxItems: 1,
				Required: true,
				Elem: &schema.Resource{
					Schema: map[string]*schema.Schema{
						"gib": {Type: schema.TypeFloat, Optional: true, ForceNew: true},
					},
				},
				DiffSuppressFunc: func(k, o, n string, d *schema.ResourceData) bool {
					if strings.Contains(n, "/") { return true }
					return false
				},
			},
			"parts": {
				Type:     schema.TypeList,
				Computed: true,
				Elem:     &schema.Resource{Schema: map[string]*schema.Schema{"id": {Type: schema.TypeString, Computed: true}}},
			},
		},
	}
}
"""


def test_attributes_blocks_and_flags_are_those_of_the_source():
    """Named constants, comments, functions and texts with braces do not mislead; objects that are computed are no blocks."""
    schema = schema_of(Reader(SOURCE, {"thingName": "name"}))["block"]
    assert schema["attributes"] == {
        "id": {"computed": True, "optional": True, "type": "string"},
        "name": {"required": True, "type": "string"},
        "parts": {"computed": True, "type": ["list", ["object", {"id": "string"}]]},
        "size": {"computed": True, "optional": True, "type": "number"},
        "tags": {"optional": True, "type": ["set", "string"]},
    }
    assert schema["block_types"]["disk"] == {
        "nesting_mode": "list", "min_items": 1, "max_items": 1,
        "block": {"attributes": {"gib": {"optional": True, "type": "number"}}},
    }  # fmt: skip
    assert schema["block_types"]["timeouts"]["block"] == {
        "attributes": {"create": {"optional": True, "type": "string"}}
    }


def test_what_forces_a_replacement_is_named_by_its_path():
    """Within blocks too."""
    fields = Reader(SOURCE, {"thingName": "name"}).schema()
    assert list(forcing(fields)) == ["disk.gib", "size"]
    assert "attributes" in block(fields)
