"""The server's side of HTTP: what requests may look like, who may send them, and what goes back."""
