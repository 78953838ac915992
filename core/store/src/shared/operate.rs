//! What operators do to messages: by the table of moves, one list of messages at a time.

use std::collections::HashMap;

use tidings_model::state::next;
use tidings_model::{Event, Refused, State};

use super::tick::Step;
use crate::batch::{ChannelId, Moved, Operated, Operation, TemplateId};
use crate::error::StoreError;
use crate::sql::{json, sql};

/// What an operator may do to a message.
const ACTS: [Event; 5] = [Event::Cancel, Event::Retry, Event::RetryLater, Event::Hold, Event::Release];

/// A message before a statement moves it.
struct Stand {
    channel: ChannelId,
    state: State,
    template: TemplateId,
    recipient: String,
}

impl Step<'_> {
    pub(super) async fn operate(
        &mut self,
        operations: &[Operation],
        moved: &mut Vec<Moved>,
    ) -> Result<Vec<Operated>, StoreError> {
        let mut answers = Vec::with_capacity(operations.len());
        // One event and note at a time: operators act on lists of messages in one way.
        for group in operations.chunk_by(|a, b| a.event == b.event && a.note == b.note && a.reason == b.reason) {
            let during = || StoreError::during("carry out an operator's act");
            let ids: Vec<i64> = group.iter().map(|operation| operation.message.0).collect();
            let mut stand: HashMap<i64, Stand> = sql!("states_before")
                .query()
                .bind(json(&ids))
                .fetch_all(self.connection)
                .await
                .map_err(during())?
                .iter()
                .filter_map(|row| {
                    let stand = Stand {
                        channel: ChannelId(row.get(1)),
                        state: State::from_code(row.get(2))?,
                        template: TemplateId(row.get(3)),
                        recipient: row.get(4),
                    };
                    Some((row.get(0), stand))
                })
                .collect();
            let event = group[0].event;
            assert!(ACTS.contains(&event), "`{}` is no act of an operator", event.as_str());
            let reason = group[0].reason.or(match event {
                Event::Cancel => Some("cancelled"),
                Event::Hold => Some("held"),
                _ => None,
            });
            let mut rows = Vec::new();
            for operation in group {
                let id = &operation.message.0;
                let Some(stand) = stand.get_mut(id) else {
                    answers.push(Operated::NoSuchMessage);
                    continue;
                };
                let from = stand.state;
                if operation.from.is_some_and(|only| only != from) {
                    answers.push(Operated::Refused(Refused { state: from, event }));
                    continue;
                }
                answers.push(match next(from, event) {
                    Ok(to) => {
                        rows.push((*id, from.code(), to.code(), operation.due_at.map(|at| at.0)));
                        self.moves.go(stand.channel, from, to);
                        // No event follows itself, so one list has a message once at most.
                        stand.state = to;
                        moved.push(Moved {
                            message: operation.message,
                            channel: stand.channel,
                            template: stand.template,
                            recipient: stand.recipient.clone(),
                            event,
                            to,
                            reason,
                            detail: operation.note.clone(),
                        });
                        Operated::Moved(to)
                    }
                    Err(refused) => Operated::Refused(refused),
                });
            }
            if rows.is_empty() {
                continue;
            }
            sql!("operate")
                .query()
                .bind(json(&rows))
                .bind(self.now.0)
                .bind(reason)
                .bind(&group[0].note)
                .execute(self.connection)
                .await
                .map_err(during())?;
            if event == Event::Cancel {
                let cancelled: Vec<i64> = rows.iter().map(|row| row.0).collect();
                self.spend_abandoned(&cancelled).await?;
            }
        }
        Ok(answers)
    }
}
