"""Groups: who belongs to one, and who may do what.

roles        what members may do                     events       signed entries of the membership log, as bytes
membership   the log: takes events in any order      state        members, settings and epochs at one time
ancestry     which event knew of which               rights       whether an author had the right to an event
strength     which events are void in the end        view         what those say who know certain events
personal     events that concern their author alone  waiting      events whose parents are missing
settings     the settings that have a meaning        summary      how a state is made
"""
