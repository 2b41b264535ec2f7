"""Asking the router of this network to open a port (docs/decisions/0067-port-mapping.md). Whatever it answers is read
as if it came from an adversary.

mapper         asks, renews, removes; knows the address at which others can dial us then
asking         what to ask in which order: PCP, NAT-PMP, UPnP
access         sockets that reach the router, and nothing else
http           reads an answer over HTTP
grants         what a router gave, and why it gave nothing
pcp            the packets of the Port Control Protocol
nat_pmp        the packets of the protocol before it
upnp           the texts of UPnP: searching, descriptions, SOAP
markup         XML without anything that it can do
"""
