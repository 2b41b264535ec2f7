"""Byte pipes and what sockets need: TCP, WebSocket, names and listeners, all without libp2p.

pipes      TCP, as bytes in and out              lookups            DNS, in threads that may be given up
websocket  the same over WebSocket               websocket_frames   its frames (RFC 6455), sizes checked
proxy      TCP through a SOCKS5 proxy           tor_circuits       by which circuit Tor brings somebody
managed    programs that disguise connections (Tor's pluggable transports)
web        what an HTTP request says, before it becomes a WebSocket or gets the decoy's answer
"""
