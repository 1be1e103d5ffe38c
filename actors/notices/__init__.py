"""Telling people: an outbox on the journal, mail and webhooks."""
