"""Byte pipes and what sockets need: TCP, WebSocket, names and listeners, all without libp2p."""
