"""Pictures and sound: what others send is decoded by processes that can do nothing else.

Pictures: `pictures` is what the engine calls. It has them encoded again for sending, and scaled for the screen.
`decoder` starts the process that does so, asks it and ends it. In that process, `fork_server` makes a new process for
every request, which `sandbox` (with the table of system calls in `seccomp`) leaves nothing but its memory; there,
`child` decodes pictures with Pillow, which only that process imports. What node and process say to each other is in
`picture_format`. The decision is docs/decisions/0081-pictures.md.

Sound: voice notes are recorded, played and brought into one form. `voice` is what the verb, the screen and the engine
call. `notes` is the form of a note: `ogg` pages with what the codec in `opus` makes. `sound` records and plays, with
`stretch` for faster speech, and is the one that opens a microphone or a loudspeaker. `voice_child` is the process that
reads a stranger's bytes, one process for each note, in the same `sandbox`. The decision is
docs/decisions/0082-voice-notes.md.

The packages for all this may be missing.
"""
