"""What people see: lines, JSON, the live view, and recordings. Nothing here can delay a connection."""
