//! crontab(5) expressions.
