"""Who an NPC is: cards and the macros in them. Owns no prompt and no platform; a player's text never comes here."""
