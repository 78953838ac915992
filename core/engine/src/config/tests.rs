use super::*;

const RIGHT: &str = include_str!("../../../../config.toml");

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    read_with(text, "CANARY")
}

/// The same, where the variable `SET` has that value.
fn read_with(text: &str, set: &str) -> Result<Config, Vec<Problem>> {
    let registry = Registry::new([tidings_wechat::plugin()]);
    let world = World {
        variable: &|name| (name == "SET").then(|| set.to_owned()),
        read_file: &|_| Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        create_key: &|_| Ok("key".to_owned()),
        load_plugin: &|file| tidings_host::load(tidings_host::inspect(file)?),
    };
    Config::read("config.toml", text, PathBuf::from("/nowhere"), &registry, &world)
}

/// The repository's own.
pub(crate) fn plain() -> Config {
    read(RIGHT).unwrap()
}

fn told(text: &str) -> Vec<String> {
    read(text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_config_of_the_repository_is_right() {
    let config = read(RIGHT).unwrap();
    assert_eq!(config.channels.len(), 2);
    assert_eq!(config.templates["order-paid"].scope, "AT0001-order-paid");
    assert_eq!(config.notes.len(), 1, "{:?}", config.notes);
    assert_eq!(config.store.to_string(), "sqlite:///nowhere/tidings.db");
}

#[test]
fn five_mistakes_are_five_errors_with_their_places_and_the_nearest_names() {
    let wrong = RIGHT
        .replace("transport         =", "trasnport         =")
        .replace("rate              = \"100/s\"", "rate              = \"fast\"")
        .replace("cron = \"0 4 * * *\"", "cron = \"0 24 * * *\"")
        .replace("cron = \"0 * * * *\"", "cron = \"0 * * * *\"\ntimezone = \"Asia/Shangai\"")
        .replace("channel     = \"subscriptions\"", "channel     = \"subscription\"");
    assert_eq!(
        told(&wrong),
        [
            "config.toml:64:1: channels.order-updates: unknown key `trasnport`; did you mean `transport`?",
            "config.toml:65:21: channels.order-updates.rate: `fast` is no rate; write it as in `100/s`, `600/m`, \
             `1000/h`, `100000/d`, `10/5s`",
            "config.toml:89:15: templates.order-shipped.channel: there is no channel `subscription`; did you mean \
             `subscriptions`?",
            "config.toml:98:12: schedules.keep-token.timezone: `Asia/Shangai` is no time zone; did you mean \
             `Asia/Shanghai`?",
            "config.toml:102:8: schedules.drop-stale-credentials.cron: `0 24 * * *`: hour: 24 is not in 0-23",
        ]
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let problems =
        told(&RIGHT.replace("{ env = \"SHOP_APPSECRET\" }", "\"CANARY\"").replace("sandbox =", "# sandbox ="));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("a secret does not stand in the file") && !problems[0].contains("CANARY"));
}

#[test]
fn a_secret_in_the_file_is_refused_for_an_app_of_the_sandbox_too() {
    for wrong in ["\"CANARY\"", "5", "{ evn = \"X\" }"] {
        let problems = told(&RIGHT.replace("{ env = \"SHOP_APPSECRET\" }", wrong));
        assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.contains("CANARY")), "{problems:?}");
    }
}

#[test]
fn a_city_is_not_taken_for_another_because_it_is_spelt_alike() {
    let beijing = "[schedules.beijing]\ncron = \"@daily\"\ntimezone = \"Asia/Beijing\"\njob = \"purge_credentials\"\n";
    let problems = told(&format!("{RIGHT}\n{beijing}"));
    assert!(
        problems.len() == 1 && problems[0].contains("`Asia/Shanghai`") && !problems[0].contains("Beirut"),
        "{problems:?}"
    );
}

#[test]
fn a_secret_is_in_no_debug_output() {
    let config = read(&RIGHT.replace("SHOP_APPSECRET", "SET").replace("sandbox =", "# sandbox =")).unwrap();
    assert_eq!(config.apps["shop"].app.settings.text("secret"), "CANARY");
    assert!(!format!("{config:?}").contains("CANARY"));
}

#[test]
fn a_variable_that_is_not_set_is_an_error_unless_the_app_sends_to_the_sandbox() {
    let problems = told(&RIGHT.replace("sandbox =", "# sandbox ="));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].ends_with("the environment variable `SHOP_APPSECRET` is not set"), "{problems:?}");
}

#[test]
fn the_sandbox_stands_in_for_what_an_app_must_have_and_not_for_what_it_may() {
    let without = read(RIGHT).unwrap();
    let settings = &without.apps["shop"].app.settings;
    assert_eq!((settings.text("secret"), settings.get("callback_token")), ("sandbox-secret", None));
    let with = |env: &str| RIGHT.replace("sandbox =", &format!("callback_token = {{ env = \"{env}\" }}\nsandbox ="));
    assert_eq!(read(&with("SET")).unwrap().apps["shop"].app.settings.text("callback_token"), "CANARY");
    let problems = told(&with("UNSET"));
    assert!(problems[0].ends_with("the environment variable `UNSET` is not set"), "{problems:?}");
}

#[test]
fn a_callback_token_that_wechat_would_not_take_is_an_error_at_its_key() {
    let key = "callback_key = { env = \"SET\" }\nsandbox =";
    let problems = told(&RIGHT.replace("sandbox =", key));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.contains("apps.shop.callback_key: ")), "{problems:?}");
    assert!(problems[1].contains("has 6 characters; an EncodingAESKey has 43"), "{problems:?}");
    assert!(!problems.join(" ").contains("CANARY"), "{problems:?}");
}

#[test]
fn a_sample_that_breaks_the_providers_rules_is_an_error_at_its_string() {
    let problems = told(&RIGHT.replace("您的订单已发货", "一二三四五六七八九十一二三四五六七八九十一"));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("templates.order-shipped.data.thing2"), "{problems:?}");
}

#[test]
fn a_sample_without_a_variable_names_it() {
    let problems = told(&RIGHT.replace("title = \"已付款\", ", ""));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("the data has no `title`"), "{problems:?}");
}

#[test]
fn a_channel_that_could_never_send_is_an_error() {
    let without = told(&RIGHT.replace("credential = \"wechat.subscription\"\n", ""));
    assert!(without[0].contains("`wechat.subscribe` needs a credential"), "{without:?}");
    let wrong = told(&RIGHT.replace("credential = \"wechat.subscription\"", "credential = \"wechat.form_id\""));
    assert!(wrong[0].contains("cannot send with `wechat.form_id`"), "{wrong:?}");
}

#[test]
fn broken_toml_is_reported_with_its_place() {
    let problems = told("version = 1\n[store\nurl = 3\n");
    assert!(problems.iter().any(|problem| problem.starts_with("config.toml:2:")), "{problems:?}");
}

#[test]
fn an_open_port_that_no_key_of_config_opens_is_worth_a_note() {
    let config = read(&RIGHT.replace("key    = { file = \"tidings.key\", create = true }", "")).unwrap();
    assert!(config.notes.iter().any(|note| note.contains("tidings keys add")), "{:?}", config.notes);
}

#[test]
fn keys_are_named_with_their_scopes() {
    let more = "
        [api.keys.shop]
        key = { env = \"SET\" }
        scopes = [\"send\", \"collect\"]";
    let config = read(&format!("{RIGHT}{more}")).unwrap();
    let [own, shop] = &config.api.keys[..] else { panic!("{:?}", config.api.keys) };
    assert_eq!((&*own.holder.name, own.holder.scopes), ("api.key", tidings_model::Scopes::ALL));
    assert_eq!((&*shop.holder.name, shop.holder.scopes.to_string()), ("shop", "send,collect".to_owned()));
    for (wrong, expected) in [
        ("[api.keys.shop]\nscopes = [\"send\"]", "`key` is missing"),
        ("[api.keys.shop]\nkey = { env = \"SET\" }", "`scopes` is missing"),
        ("[api.keys.shop]\nkey = \"in the file\"\nscopes = [\"send\"]", "does not stand in the file"),
        ("[api.keys.shop]\nkey = { env = \"SET\" }\nscopes = []", "name one at least"),
        ("[api.keys.shop]\nkey = { env = \"SET\" }\nscopes = [\"admin\"]", "`admin` is no scope"),
        ("[api.keys.local]\nkey = { env = \"SET\" }\nscopes = [\"send\"]", "stands for another caller"),
        ("[api.keys.twin]\nkey = { env = \"SET\" }\nscopes = [\"read\"]", "the same key as `shop`"),
    ] {
        let text = if wrong.contains("twin") { format!("{RIGHT}{more}\n{wrong}") } else { format!("{RIGHT}\n{wrong}") };
        let problems = told(&text);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{wrong}: {problems:?}");
    }
}

#[test]
fn an_empty_file_says_what_it_needs() {
    assert_eq!(told(""), ["config.toml:1:1: `version` is missing; expected `version = 1` at the top"]);
}

#[test]
fn a_plugin_that_cannot_be_loaded_makes_its_channels_wait_and_nothing_else() {
    let more = "
        [plugins.acme]
        path = \"libacme.so\"
        [apps.theirs]
        plugin = \"acme\"
        anything = 1
        [channels.theirs]
        app = \"theirs\"
        token = \"acme.token\"
        credential = \"acme.permit\"
        transport = \"acme.send\"
        [templates.theirs]
        channel = \"theirs\"
        text = \"{{ whatever }}\"
    ";
    let config = read(&format!("{RIGHT}\n{more}")).unwrap();
    let note = config.notes.iter().find(|note| note.contains("acme")).expect("a note says so");
    assert!(note.contains("`acme` is not there") && note.contains("/nowhere/libacme.so"), "{note}");
    let trouble = |name: &str| config.channels[name].trouble();
    assert!(trouble("theirs").is_some_and(|reason| reason.contains("libacme.so")), "{:?}", trouble("theirs"));
    assert_eq!(trouble("order-updates"), None);
    let required = more.replace("libacme.so\"", "libacme.so\"\n        required = true");
    let problems = told(&format!("{RIGHT}\n{required}"));
    assert!(problems.len() == 1 && problems[0].contains("plugins.acme: the plugin file"), "{problems:?}");
}

#[test]
fn mistakes_in_a_plugins_section_are_told_with_their_places() {
    for (section, expected) in [
        ("path = 1", "plugins.acme.path: expected a string, found a number"),
        ("sha256 = \"abc\"", "plugins.acme: `path` is missing; expected the plugin's file"),
        ("path = \"x\"\nsha256 = \"abc\"", "plugins.acme.sha256: expected the 64 hexadecimal digits of a SHA-256"),
        ("path = \"x\"\nrequire = true", "plugins.acme: unknown key `require`; did you mean `required`?"),
    ] {
        let problems = told(&format!("{RIGHT}\n[plugins.acme]\n{section}\n"));
        assert!(problems.iter().any(|problem| problem.ends_with(expected)), "{section}: {problems:?}");
    }
}

#[test]
fn a_transport_cannot_send_through_another_plugins_app() {
    let wrong = RIGHT.replacen("transport         = \"wechat.template\"", "transport         = \"acme.send\"", 1);
    let problems = told(&format!("{wrong}\n[plugins.acme]\npath = \"libacme.so\"\n"));
    assert!(problems[0].contains("`acme.send` cannot send through an app of plugin `wechat`"), "{problems:?}");
}

#[test]
fn every_job_is_read_with_its_deadline() {
    let job = |text: &str| {
        let config = read(&format!("{RIGHT}\n[schedules.job]\ncron = \"@daily\"\n{text}\n")).expect(text);
        config.schedules["job"].job.clone()
    };
    let told = |text: &str| (job(text).describe(), job(text).deadline.as_secs());
    assert_eq!(told("job = { probe = \"shop\" }"), ("probe shop".to_owned(), 60));
    assert_eq!(
        told("job = { backup = \"copies\", keep = 3 }\ndeadline = \"10m\""),
        ("backup to /nowhere/copies, keep 3".to_owned(), 600)
    );
    assert_eq!(
        told("job = { purge_messages = { older_than = \"1h\", states = [\"sent\", \"failed\"] } }"),
        ("purge_messages sent,failed after 3600 s".to_owned(), 3600)
    );
    let url = "job = { send = \"order-paid\", audience = { url = \"https://user:CANARY@crm.example.com/CANARY?key=CANARY\", \
               headers = { authorization = { env = \"SET\" }, accept = \"application/x-ndjson\" } } }";
    assert_eq!(told(url), ("send order-paid to https://crm.example.com".to_owned(), 12 * 3600));
    let debug = format!("{:?}", job(url));
    assert!(!debug.contains("CANARY"), "{debug}");
    let Task::Send(send) =
        job("job = { send = \"order-paid\", audience = { file = \"a.csv\" }, duplicates = \"send\", priority = 3 }")
            .task
    else {
        panic!("it sends")
    };
    assert_eq!((send.duplicates, send.priority), (Duplicates::Send, 3));
    let Task::Send(send) = job("job = { send = \"order-paid\", audience = \"everyone\" }").task else {
        panic!("it sends")
    };
    assert_eq!((send.duplicates, send.priority), (Duplicates::Skip, -1));
}

#[test]
fn a_job_that_is_wrong_is_told_with_what_it_could_be() {
    for (text, expected) in [
        ("job = \"purge_all\"", "there is no job `purge_all`"),
        ("job = { probe = \"shup\" }", "did you mean `shop`?"),
        ("job = { probe = \"shop\", backup = \"x\" }", "a job does one thing; found: probe, backup"),
        ("job = { backup = \"copies\", keep = 0 }", "expected a whole number from 1 to 1000"),
        ("job = { purge_messages = { } }", "`older_than` is missing"),
        ("job = { purge_messages = { older_than = \"1h\", states = [\"queued\"] } }", "`queued` is none of"),
        ("job = { purge_messages = { older_than = \"1h\", states = [] } }", "name one at least of sent"),
        ("job = { purge_messages = { older_than = \"1h\", state = \"sent\" } }", "did you mean `states`?"),
        ("job = { send = \"order-paid\", audience = { url = \"crm\" } }", "`crm` is no address"),
        (
            "job = { send = \"order-paid\", audience = { url = \"https://x\", headers = { \"a b\" = \"c\" } } }",
            "is no name of a header",
        ),
        (
            "job = { send = \"order-paid\", audience = { url = \"https://x\", headers = { a = \"b\\u0007\" } } }",
            "that a header cannot have",
        ),
        ("job = { send = \"order-paid\", audience = { file = \"x.csv\", url = \"https://x\" } }", "unknown key `file`"),
        ("job = { send = \"order-paid\", audience = \"everyone\", duplicates = \"both\" }", "`both` is none of"),
        ("job = { send = \"order-paid\", audience = \"everyone\", priority = 300 }", "from -128 to 127"),
        ("job = \"purge_credentials\"\ndeadline = \"25h\"", "at most `24h`"),
        ("job = \"purge_credentials\"\ndeadline = \"0s\"", "without any time"),
    ] {
        let problems = told(&format!("{RIGHT}\n[schedules.job]\ncron = \"@daily\"\n{text}\n"));
        assert!(problems.len() == 1 && problems[0].contains(expected), "{text}: {problems:?}");
    }
}

fn with_policy(lines: &str) -> String {
    format!("{RIGHT}\n[schedules.late]\ncron = \"@daily\"\njob = \"purge_credentials\"\n{lines}\n")
}

#[test]
fn what_a_schedule_does_about_late_times_is_read_with_its_defaults() {
    let policy = |lines: &str| read(&with_policy(lines)).unwrap().schedules["late"].policy;
    let seconds = Duration::from_secs;
    let plain = SchedulePolicy { missed: Missed::Once, grace: None, overlap: Overlap::Skip, jitter: Duration::ZERO };
    assert_eq!(policy(""), plain);
    assert_eq!(policy("missed = \"skip\""), SchedulePolicy { missed: Missed::Skip, grace: Some(seconds(60)), ..plain });
    let all = |most| SchedulePolicy { missed: Missed::All { most }, ..plain };
    assert_eq!(policy("missed = \"all\""), all(100));
    assert_eq!(policy("missed = { all = 500 }"), all(500));
    let told = policy("missed = \"skip\"\ngrace = \"10m\"\njitter = \"30s\"\noverlap = \"queue\"");
    assert_eq!((told.grace, told.jitter, told.overlap), (Some(seconds(600)), seconds(30), Overlap::Queue));
}

#[test]
fn a_policy_that_cannot_be_is_told_with_what_can() {
    for (lines, expected) in [
        ("missed = \"onec\"", "did you mean `once`?"),
        ("missed = { all = 0 }", "expected a whole number from 1 to 10000"),
        ("missed = { al = 5 }", "did you mean `all`?"),
        ("missed = 5", "expected a string"),
        ("grace = \"10ms\"", "`10ms` is not `1s` to `366d`"),
        ("jitter = \"2d\"", "`2d` is not at most `24h`"),
    ] {
        let told = told(&with_policy(lines));
        assert!(told.len() == 1 && told[0].contains(expected), "{lines}: {told:?}");
    }
}

/// A config whose store has that address, as it is written.
fn stored_at(url: &str) -> Result<Config, Vec<Problem>> {
    read_with(
        &RIGHT.replace("url = \"sqlite://tidings.db\"", &format!("url = {url}")),
        "postgres://ann:CANARY@db/tidings",
    )
}

#[test]
fn the_address_of_a_database_may_stand_elsewhere_and_its_password_is_not_shown() {
    let config = stored_at("{ env = \"SET\" }").unwrap();
    assert_eq!(config.store.url(), "postgres://ann:CANARY@db/tidings");
    assert_eq!(config.store.to_string(), "postgres://db/tidings");
    assert!(!format!("{config:?}").contains("CANARY"));
    assert_eq!(config.api.socket, Path::new("/nowhere/tidings.sock"));
    let config = stored_at("\"postgres://ann@db/tidings\"").unwrap();
    assert_eq!(config.store.to_string(), "postgres://db/tidings");
}

#[test]
fn a_password_in_the_file_is_refused_and_not_shown() {
    let problems = stored_at("\"postgres://ann:CANARY@db/tidings\"").unwrap_err();
    let told = problems[0].to_string();
    assert!(told.contains("store.url: a password does not stand in the file"), "{told}");
    assert!(problems.len() == 1 && !told.contains("CANARY"), "{problems:?}");
}

#[test]
fn a_job_that_copies_a_file_is_refused_where_the_store_is_in_none() {
    let job = RIGHT.replace("job  = \"purge_credentials\"", "job  = { backup = \"copies\" }");
    let job = job.replace("job = \"purge_credentials\"", "job = { backup = \"copies\" }");
    assert!(read(&job).is_ok());
    let problems = told(&job.replace("url = \"sqlite://tidings.db\"", "url = \"postgres://ann@db/tidings\""));
    assert!(problems.len() == 1 && problems[0].contains("pg_dump"), "{problems:?}");
}
