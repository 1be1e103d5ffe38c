"""What serves a workstation's folders to a proxy elsewhere, and the desk at which it signs on."""
