"""The contracts of an installation: its topics, messages and records, written down for clients in any language."""
