"""The question in numbers: demand by hour, pools of what could serve it, limits; each formula once."""
