"""Limits what strangers may use of a host: slots, work and turns, by place on the network.

places    places on the network, and the networks around them
slots     who gets one of a bounded number of slots
shares    who gives way when something that all share is full
budget    how much work each connection and place may cause
arrivals  work in the order of arrival, a little at a time
fairness  a queue in which every place has the same share
limits    the numbers
"""
