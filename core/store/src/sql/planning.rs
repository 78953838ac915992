//! How PostgreSQL plans what it is asked.

/// Once, and by the indexes that the statements were written for. The tables of the queue are nearly empty in one minute
/// and full in the next, and a plan made for an empty one would read a full one from end to end, or sort it; to compile a
/// statement takes longer than to run it.
pub(crate) const PLANNING: [(&str, &str); 4] = [
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// Has a session plan its statements anew, each when it is asked the next time. A plan goes by how long the tables are, not
/// only by what was counted: what was planned while they were short may read all of a long one, until somebody counts it.
pub(crate) const PLAN_ANEW: &str = "DISCARD PLANS";
