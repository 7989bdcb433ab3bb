"""Hostile rooms from seeds, and a second, literal room model to judge them."""
