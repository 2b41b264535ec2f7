"""The command line: one file per noun, a function per verb.

A verb is a row of a table (`options.Verb`) and a function `(Context, Namespace) -> exit code`; it asks the node
through `api.client` and prints through `output`. Nothing here imports trio, libp2p, nacl or the store, so that a verb
starts at once; the one exception is `serve`, which starts the node, and imports it late.
"""
