"""What a payload author brings: told apart, tidied up and judged, before anything is locked."""
