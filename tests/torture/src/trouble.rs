//! What keeps a run from saying anything: a build that fails, an engine that does not start where it must.

/// A sentence for whoever started the run.
#[derive(Debug)]
pub struct Trouble(pub String);

impl Trouble {
    pub(crate) fn new(text: impl Into<String>) -> Trouble {
        Trouble(text.into())
    }
}

impl<E: std::error::Error> From<E> for Trouble {
    /// The error with its causes.
    fn from(error: E) -> Trouble {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Trouble(text)
    }
}

/// What a step comes to.
pub(crate) type Outcome<T = ()> = Result<T, Trouble>;
