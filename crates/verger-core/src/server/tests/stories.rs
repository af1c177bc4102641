//! Short stories, told as transcripts: one event, then what the machine wants done.
