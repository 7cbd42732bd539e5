"""Bytes to messages and back. No I/O, no clock: everything here can be fed one byte at a time in a test."""
