//! From Stakater Reloader's chart to this one, and back.
