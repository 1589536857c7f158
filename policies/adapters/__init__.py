"""Other people's text models behind the contract of a prompt check: each from a card that names local files
with their SHA-256, or the one server that may be asked. Nothing here is loaded unless a card is given."""
