//! The recipes of `docs/RECIPES.md` in the running engine: each fragment goes into the config as it stands, with the
//! provider's address alone changed, and a message goes through the plugin's file to a stand-in of the provider.

use serde_json::json;

use crate::harness::World;
use crate::plugin_files;

#[path = "../../plugins/webhook/tests/recipes/providers.rs"]
mod providers;

#[path = "../../plugins/webhook/tests/recipes/stand_in.rs"]
mod stand_in;

use providers::{DINGTALK_TOKEN, FEISHU_HOOK, NTFY_TOKEN, SLACK_WEBHOOK, TELEGRAM_TOKEN, WECOM_KEY};
use stand_in::{Provider, StandIn};

/// A recipe: its heading, where the provider lives, who stands in for it, the variable of its key, the key, its
/// template, and a recipient.
type Recipe = (&'static str, &'static str, Provider, &'static str, &'static str, &'static str, &'static str);

const RECIPES: [Recipe; 6] = [
    ("ntfy", "https://ntfy.sh", providers::ntfy, "NTFY_TOKEN", NTFY_TOKEN, "phone-alert", "disks"),
    ("Slack", "https://hooks.slack.com", providers::slack, "SLACK_WEBHOOK", SLACK_WEBHOOK, "slack-alert", "ops"),
    (
        "Telegram",
        "https://api.telegram.org",
        providers::telegram,
        "TELEGRAM_BOT_TOKEN",
        TELEGRAM_TOKEN,
        "telegram-alert",
        "42",
    ),
    ("WeCom", "https://qyapi.weixin.qq.com", providers::wecom, "WECOM_ROBOT_KEY", WECOM_KEY, "wecom-alert", "ops"),
    (
        "DingTalk",
        "https://oapi.dingtalk.com",
        providers::dingtalk,
        "DINGTALK_ROBOT_TOKEN",
        DINGTALK_TOKEN,
        "dingtalk-alert",
        "ops",
    ),
    ("Feishu", "https://open.feishu.cn", providers::feishu, "FEISHU_HOOK", FEISHU_HOOK, "feishu-alert", "ops"),
];

/// The fragment under a heading of the page.
fn fragment(heading: &str) -> String {
    let page = std::fs::read_to_string(plugin_files::root().join("docs/RECIPES.md")).unwrap();
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    let fragment = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    fragment.unwrap_or_else(|| panic!("no fragment under {heading}")).to_owned()
}

#[test]
fn every_recipe_sends_and_a_wrong_key_stops_its_own_app_only() {
    let world = World::new();
    let file = plugin_files::place(&world, "tidings-webhook", "tidings_webhook");
    world.configure_more(&format!("[plugins.webhook]\npath = {file:?}\n"));
    let mut stand_ins = Vec::new();
    for (heading, origin, provider, variable, key, ..) in RECIPES {
        let stand_in = StandIn::start(provider);
        let fragment = fragment(heading);
        assert!(fragment.contains(origin), "{heading} names {origin}");
        world.configure_more(&fragment.replace(origin, &stand_in.origin()));
        world.set(variable, if heading == "Slack" { "T00000000/B00000000/WRONGWRONGWRONG" } else { key });
        stand_ins.push(stand_in);
    }
    let said = world.tidings(&["check"]);
    assert_eq!(said.code, 0, "{}", said.all());
    world.run();
    let send = |template: &str, to: &str| {
        let message =
            json!({"template": template, "to": to, "data": {"title": "磁盘", "text": "90 % \"voll\" & <mehr>"}});
        let answer = world.post("/v1/messages", &message);
        assert_eq!(answer.status, 202, "{template}: {answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    for (heading, _, _, _, _, template, to) in RECIPES {
        let id = send(template, to);
        if heading == "Slack" {
            world.until_channel("slack-ops", "halted");
            // The channel stands still a moment before the outcome is on disk.
            world.until(&id, "queued");
        } else {
            world.until(&id, "sent");
        }
    }
    for (.., key, _, _) in RECIPES {
        assert!(!world.log().contains(key), "a key is in the log");
    }
}
