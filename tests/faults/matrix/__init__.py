"""One test for each fault that is promised something; docs/faults.md says which is which."""
