"""The screen: a thin face over the node's socket, in Textual.

    launch       starts the node, then imports and runs the app, and restores the terminal whatever happens
    node_client  the one connection to the node: calls, events, its end and return; cleans every string that comes in
    app          what comes first, who answers which intent, how it ends
    actions/     what the app does with a chat, a contact or a message; `base` is what they need of the app
    model        chats, messages, requests, as plain data
    groups       a group, its members and rules, as plain data; what a role may do
    state        what the screen knows now, and how events change it; `labels` has them told apart
    intents      what widgets and screens ask of the app: one class for each intent
    keys         the one table of keys, from which the bindings and the help are made
    commands     slash commands, one table with their help, for the composer, the completion and the palette
    group_verbs  the verbs of `/group`, one table with their help
    wording      presence, routes and the state of the connection in words
    keymap       the table of keys with what the person has bound otherwise
    themes       the looks, in 256 colours by `fewer_colours`; `themed` is what the app does with them
    preferences  the person's file of settings, of which one line is changed at a time
    reader       reads from the node what the screen shows
    text, rtl    wrapping, widths, dates; right-to-left lines in drawing order
    droppable    work that may end before it begins
    collecting   garbage collection that nobody notices
    notices      bell and notices for somebody who does not look
    terminal     what Textual leaves out: clipboard, safe pastes, bell, notification, bidi mode
    formatting   links, code and emphasis in a text
    file_words   a file in words: its size, how far it has come
    paths        paths as people write, paste and complete them
    half_blocks  pictures as cells of two colours
    sound        what plays a voice note, and what records one
    kitty        pictures in full, where the terminal knows how
    desktop      the browser, the clipboard tool and the editor
    echo         the echo bot as a child process
    screens/     one file for each screen; a screen knows intents and model, and asks the node through the node client
    widgets/     one file for each widget; a widget knows only model and text, and tells the app by intents

Nothing here imports libp2p, trio, nacl or the store; a test starts an interpreter and checks.
"""
