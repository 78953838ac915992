//! What stopped short of being sent, looked at by reason.

use tidings_model::State;
use tidings_store::ReasonRow;

use crate::handle::EngineHandle;
use crate::refusal::Refusal;

/// What is looked at when nobody says which: what an operator did not ask for and time did not bring.
const TROUBLE: [State; 3] = [State::Held, State::Failed, State::Unknown];

impl EngineHandle {
    /// The messages that stopped short of being sent, by channel, reason and template, the largest group first, and
    /// whether there are more groups than that. Of this state; without one, the held, the failed and the unknown.
    pub async fn reasons(
        &self,
        state: Option<State>,
        channel: Option<&str>,
    ) -> Result<(Vec<ReasonRow>, bool), Refusal> {
        let states = match state {
            Some(state) => vec![dead(state)?],
            None => TROUBLE.to_vec(),
        };
        Ok(self.reader().reasons(&states, channel).await?)
    }
}

/// The state, if messages that are there stopped short of being sent.
pub(crate) fn dead(state: State) -> Result<State, Refusal> {
    if state.is_dead() {
        return Ok(state);
    }
    let words: Vec<&str> = State::ALL.into_iter().filter(|state| state.is_dead()).map(State::as_str).collect();
    let detail =
        format!("messages that are {state} did not stop short of being sent; ask for one of {}", words.join(", "));
    Err(Refusal::invalid("state-goes-on", detail))
}
