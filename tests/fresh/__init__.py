"""Compare the versions that the template renders with tables of releases and ends of life."""
