//! Who can be reached: one recipient, and everybody in a forecast.

use std::time::Duration;

use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use tidings_engine::{EngineHandle, TemplateForecast, TemplateReach};
use tidings_model::Timestamp;
use tidings_model::forecast::Forecast;

use super::answer::{Answer, json};
use super::query::Asked;
use crate::wire;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Days after which "in a week" is over.
const WEEK: usize = 7;

pub(super) async fn reachability(
    Shared(engine): Shared<EngineHandle>,
    Path(recipient): Path<String>,
    Query(query): Asked,
) -> Answer<Response> {
    let found = engine.reachability(&recipient, query.get("template").map(String::as_str)).await?;
    let items = found.templates.into_iter().map(template).collect();
    let reachability = wire::Reachability { recipient, now: found.now.to_rfc3339(), items, more: found.more };
    Ok(json(StatusCode::OK, &reachability))
}

pub(super) async fn forecast(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let (found, items) = match query.get("template") {
        Some(name) => {
            let (found, place) = engine.forecast(name).await?;
            let items = vec![forecast_of(&found.templates[place])];
            (found, items)
        }
        None => {
            let found = engine.forecasts().await?;
            let items = found.templates.iter().map(forecast_of).collect();
            (found, items)
        }
    };
    Ok(json(StatusCode::OK, &wire::Forecasts { now: found.now.to_rfc3339(), items }))
}

fn instant(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::to_rfc3339)
}

fn template(reach: TemplateReach) -> wire::TemplateReach {
    let permits = reach.permits.into_iter().map(|permit| wire::Permit {
        source: permit.source,
        uses: permit.uses,
        until: instant(permit.until),
        expires_at: instant(permit.expires_at),
        scoped: permit.scoped,
        by_itself: permit.by_itself,
    });
    let obstacles: Vec<wire::Obstacle> = reach
        .obstacles
        .into_iter()
        .map(|it| wire::Obstacle { code: it.code.to_owned(), detail: it.detail, until: instant(it.until) })
        .collect();
    wire::TemplateReach {
        template: reach.template.to_string(),
        channel: reach.channel.to_string(),
        app: reach.app.to_string(),
        reachable: obstacles.is_empty(),
        sends: reach.sends,
        until: instant(reach.until),
        permits: permits.collect(),
        bound: reach.bound.iter().map(ToString::to_string).collect(),
        waiting: reach.waiting,
        obstacles,
        next_at: instant(reach.next_at),
    }
}

fn forecast_of(of: &TemplateForecast) -> wire::Forecast {
    let ledger = of.ledger.as_ref();
    wire::Forecast {
        template: of.template.to_string(),
        channel: of.channel.to_string(),
        app: of.app.to_string(),
        needs_permit: ledger.is_some(),
        by_itself: of.by_itself.iter().map(ToString::to_string).collect(),
        people: ledger.map_or(0, |ledger| ledger.people),
        people_in_a_week: ledger.map_or(0, |ledger| ledger.people_after(WEEK)),
        people_without_end: ledger.map_or(0, |ledger| ledger.people_without_end),
        sends: ledger.map_or(0, |ledger| ledger.sends),
        days: ledger.map(days).unwrap_or_default(),
    }
}

fn days(ledger: &Forecast) -> Vec<wire::ForecastDay> {
    let mut until = ledger.now;
    let day = |(index, day): (usize, &tidings_model::forecast::Day)| {
        until = until.after(DAY);
        (day.people_lost > 0 || day.sends_lost > 0).then(|| wire::ForecastDay {
            until: until.to_rfc3339(),
            people: ledger.people_after(index + 1),
            people_lost: day.people_lost,
            sends_lost: day.sends_lost,
        })
    };
    ledger.days.iter().enumerate().filter_map(day).collect()
}
