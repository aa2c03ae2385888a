//! Linux links: TAP, open descriptors, the user-mode gateway, pcapng capture.
