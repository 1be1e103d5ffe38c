"""The desks at which a console asks what is going on, and says what to do."""
