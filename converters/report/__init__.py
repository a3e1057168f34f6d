"""The report of a conversion, for people and for machines."""
