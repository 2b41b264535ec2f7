"""The screen: a thin face over the node's socket, in Textual.

    launch     starts the node, then imports and runs the app, and restores the terminal whatever happens
    seam       the one connection to the node: calls, events, its death and return; cleans every string that comes in
    app        what comes first, who answers which intent, how it ends; `talk`, `picking`, `people` are its hands,
               `desk` is what they need of it
    model      chats, messages, requests, as plain data
    book       what the screen knows now, and how events change it; `labels` tells names apart that look alike
    intents    what widgets and screens ask of the app: one dataclass per intent
    keys       the one table of keys, from which the bindings and the help are made
    commands   slash commands, one table with their help, for the composer, the completion and the `palette`
    wording    presence, routes and the state of the connection in words
    themes     the looks; `kept` remembers them
    text, rtl  wrapping, widths, dates; right-to-left lines in drawing order
    terminal   what Textual leaves out: clipboard, safe pastes, bell, notification, bidi mode
    screens/   one file a screen; a screen knows intents and model, and asks the node through the seam
    widgets/   one file a widget; a widget knows only model and text, and tells the app by intents

Nothing here imports libp2p, trio, nacl or the store: a test starts an interpreter and looks.
"""
