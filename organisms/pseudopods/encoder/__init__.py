"""A transformer encoder of pseudopods, with the interface of torch's."""
