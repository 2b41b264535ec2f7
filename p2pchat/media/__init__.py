"""Pictures and sounds: what others send is decoded by processes that can do nothing else.

`pictures` is what the engine calls: it has pictures encoded again for sending, and scaled for the screen. `decoder`
starts the process that does so, asks it and ends it. In that process, `fork_server` makes a new process for every
request, which `sandbox` (with the table of system calls in `seccomp`) leaves nothing but its memory; there, `child`
decodes pictures with Pillow, which only that process imports. What node and process say to each other is in
`picture_format`. The decision is docs/decisions/0081-pictures.md.
"""
