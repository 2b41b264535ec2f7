"""Sound: voice notes are recorded, played and brought into one form; those of others are decoded in another process.

`voice` is what the verb, the screen and the engine call. `notes` is the form of a note: `ogg` pages with what the codec
in `opus` makes. `sound` records and plays, with `stretch` for faster speech, and is the one that opens a microphone or
a loudspeaker. `voice_child` is the process that reads a stranger's bytes. The packages for all this may be missing.
"""
