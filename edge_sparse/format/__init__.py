"""The file format: records, reader, writer, validator."""
