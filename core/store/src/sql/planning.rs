//! How PostgreSQL plans what it is asked.

/// Once, and by the indexes that the statements were written for. The tables of the queue are nearly empty in one minute
/// and full in the next, and a plan made for an empty one would read a full one from end to end; to compile a statement
/// takes longer than to run it.
pub(crate) const PLANNING: [(&str, &str); 3] =
    [("jit", "off"), ("enable_seqscan", "off"), ("plan_cache_mode", "force_generic_plan")];
