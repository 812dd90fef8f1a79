"""The TLS overlay, development certificates and renewal."""
