"""What the app does when a widget asks for it: about a chat, a contact, a message."""
