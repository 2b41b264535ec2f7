"""Groups: who belongs to one, who may do what, and the secrets of its epochs.

roles        what members may do               events       signed entries of the membership log
state        members and settings at one time
"""
