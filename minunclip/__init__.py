"""minunclip: learn how DALL·E 2 works by building it."""
