//! Every word of the screen, in each language. Names, reasons and answers come from the engine and stay as they are.

use std::borrow::Cow;

/// The language of the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese, in simplified characters.
    Zh,
}

impl Language {
    /// What the environment asks for: the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set.
    pub fn from_environment() -> Language {
        Language::of_locales(["LC_ALL", "LC_MESSAGES", "LANG"].map(|name| std::env::var(name).ok()))
    }

    fn of_locales(locales: impl IntoIterator<Item = Option<String>>) -> Language {
        let locale = locales.into_iter().flatten().find(|locale| !locale.is_empty()).unwrap_or_default();
        if locale.to_ascii_lowercase().starts_with("zh") { Language::Zh } else { Language::En }
    }
}

macro_rules! words {
    ($($name:ident: $en:literal, $zh:literal;)*) => {
        /// A word or a sentence of the screen. `{}` is where something is put in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Word { $($name),* }

        impl Word {
            #[cfg(test)]
            const ALL: &[Word] = &[$(Word::$name),*];

            /// The word in a language.
            pub(crate) fn text(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Word::$name, Language::En) => $en, (Word::$name, Language::Zh) => $zh,)*
                }
            }
        }
    };
}

words! {
    // The header.
    Tidings: "Tidings", "Tidings";
    Live: "LIVE", "实时";
    Stale: "STALE {}", "已过时 {}";
    NoEngine: "NO ENGINE YET", "尚无引擎";
    Connecting: "CONNECTING", "连接中";
    Draining: "stopping", "正在停止";
    Engine: "engine {}", "引擎 {}";
    Up: "up {}", "已运行 {}";
    Utc: "{} UTC", "{} UTC";

    // What is wrong between us and the engine.
    Unreachable: "No engine answers at {}. Start one with `tidings run`, or name another with `--url`.",
        "{} 没有引擎应答。请用 `tidings run` 启动，或用 `--url` 指定其他地址。";
    Refused: "The engine refuses: {}", "引擎拒绝：{}";
    Foreign: "The answer is not of Tidings: {}", "应答不是来自 Tidings：{}";
    Slow: "No answer within {}.", "{} 内没有应答。";
    TryingAgain: "Trying again by itself; `{}` tries at once, `{}` leaves.", "正在自动重试；按 `{}` 立即重试，按 `{}` 退出。";
    TooSmall: "{}: needs {}  {} {}", "{}：至少 {}  {} {}";

    // Titles.
    Needs: "Needs you", "需要处理";
    NothingNeeded: "Nothing needs you", "没有需要处理的事";
    Channels: "Channels", "通道";
    Throughput: "Sent per second, by {}s, peak {}", "每秒发出，每格 {} 秒，峰值 {}";
    Schedules: "Schedules", "定时任务";
    Messages: "Messages, newest first", "消息，最新在前";
    Help: "Keys", "按键";
    Part: "{} of {}", "第 {} 项，共 {} 项";
    None: "none", "无";
    NoMessages: "no message has changed yet", "尚无消息变化";

    // What needs a person.
    NeedStore: "the store takes no new messages", "存储不再接收新消息";
    NeedHalted: "its app is halted", "应用已停止";
    NeedParked: "a plugin of it may not go on", "插件被停用";
    NeedPaused: "paused", "已暂停";
    NeedToken: "no token", "没有可用令牌";
    NeedWebhook: "webhook fails, {} wait", "回调失败，{} 条等待";
    NeedWebhookDisabled: "webhook disabled, {} wait", "回调已停用，{} 条等待";
    NeedNodeGone: "this engine is gone", "该引擎已失联";
    NeedNodeDiffers: "its config is not this engine's", "配置与本引擎不一致";
    NeedRun: "its last run failed", "上次运行失败";
    NeedUnknown: "{} may have arrived", "{} 条可能已送达";
    NeedHeld: "{} held", "{} 条暂扣";
    NeedWaiting: "{} wait for a credential", "{} 条等待凭证";
    NeedLate: "{} outcomes came too late", "{} 个结果来得太迟";

    // Columns.
    Name: "NAME", "名称";
    State: "STATE", "状态";
    Queued: "QUEUED", "排队";
    Sending: "SENDING", "发送中";
    Waiting: "WAITING", "待凭证";
    Later: "LATER", "稍后";
    Held: "HELD", "暂扣";
    Sent: "SENT", "已发送";
    Failed: "FAILED", "失败";
    Unknown: "UNKNOWN", "未知";
    Note: "NOTE", "备注";
    App: "APP", "应用";
    Problem: "PROBLEM", "问题";
    Next: "NEXT", "下次";
    Clock: "CLOCK", "时刻";
    Zone: "ZONE", "时区";
    LastRun: "LAST RUN", "上次运行";
    When: "WHEN", "时间";
    Done: "DONE", "进度";
    Job: "JOB", "作业";
    Result: "RESULT", "结果";

    // States of messages.
    StateScheduled: "scheduled", "已排期";
    StateQueued: "queued", "排队";
    StateWaiting: "waiting", "待凭证";
    StateSending: "sending", "发送中";
    StateHeld: "held", "暂扣";
    StateSent: "sent", "已发送";
    StateDelivered: "delivered", "已送达";
    StateFailed: "failed", "失败";
    StateUnknown: "unknown", "未知";
    StateExpired: "expired", "已过期";
    StateCancelled: "cancelled", "已取消";

    // States of channels.
    ChannelOpen: "open", "开放";
    ChannelPaused: "paused", "已暂停";
    ChannelCooling: "cooling", "冷却中";
    ChannelHalted: "halted", "已停止";
    ChannelParked: "parked", "插件停用";

    // States of runs.
    RunRunning: "running", "运行中";
    RunDone: "done", "完成";
    RunFailed: "failed", "失败";
    RunCancelled: "cancelled", "已取消";
    RunInterrupted: "interrupted", "被中断";
    RunNever: "never", "从未";

    // Times and amounts.
    In: "in {}", "{} 后";
    Ago: "{} ago", "{} 前";
    Now: "now", "现在";
    PerSecond: "{}/s", "{}/s";

    // The pages.
    PageOverview: "Overview", "总览";
    PageMessages: "Messages", "消息";
    PageChannels: "Channels", "通道";
    PageMessage: "Message", "单条消息";
    PageCredentials: "Credentials", "凭证";
    PageTokens: "Tokens", "令牌";
    PageSchedules: "Schedules", "定时";
    PageRuns: "Runs", "运行";
    PagePlugins: "Plugins", "插件";
    PageAudit: "Audit", "审计";
    PageRun: "Run", "单次运行";
    PageWebhooks: "Webhooks", "回调";
    PageNodes: "Nodes", "节点";
    PagePreflight: "Reach", "可达范围";
    SoMany: "({})", "({})";
    SoManyAndMore: "({} so far)", "(已载入 {})";

    // Credentials.
    People: "PEOPLE", "可达人数";
    Sends: "SENDS", "可发条数";
    RunsOut: "RUNS OUT", "开始失效";
    InAWeek: "IN A WEEK", "一周后";
    NoEnd: "NO END", "长期有效";
    NeedsNone: "needs none", "无需凭证";
    ByItself: "given by itself: {}", "自动获得：{}";
    NoTemplates: "config has no templates", "配置中没有模板";
    PartRunsOut: "What runs out of {}", "{} 的凭证何时失效";
    EveryoneReached: "It needs no credential: everybody can be reached.", "无需凭证：所有人都可送达。";
    NothingRunsOut: "Nothing runs out in the days to come.", "近期没有凭证失效。";
    RunsOutLost: "-{} people, -{} sends", "少 {} 人，少 {} 条";

    // Tokens.
    Ends: "ENDS", "到期";
    Fetches: "FETCHES", "今日获取";
    NoTokens: "no app has a token", "没有应用使用令牌";
    FactState: "state", "状态";
    FactFetched: "fetched", "获取于";
    FactEnds: "ends", "到期于";
    FactFetches: "fetches today", "今日获取";

    // Schedules.
    Cron: "CRON", "CRON";
    InWords: "IN WORDS", "含义";
    History: "HISTORY", "历史";
    NoSchedules: "config has no schedules", "配置中没有定时任务";
    ScheduleActive: "active", "启用";
    ScheduleAhead: "ahead", "超前";
    ScheduleRemoved: "removed", "已移除";
    LeavesOut: "skips {}", "跳过 {}";
    LeftOut: "left out", "跳过";
    PausedBy: "Paused by {}: {}", "由 {} 暂停：{}";
    SkippedBy: "Left out by {}: {}", "由 {} 跳过：{}";
    BackfilledBy: "{} has its past run up to {}: {}", "{} 正在补跑，直到 {}：{}";
    PartNextTimes: "Next times, {}", "接下来的时间，{}";
    PartHistory: "What became of its last times", "最近各次的结果";
    FactMissed: "missed", "错过时";
    FactOverlap: "overlap", "重叠时";
    FactGrace: "grace", "宽限";
    FactJitter: "jitter", "抖动";
    SoLate: "{} late", "晚 {}";
    VerdictFired: "ran", "已运行";
    VerdictFailed: "failed", "失败";
    VerdictCoalesced: "a later one ran for it", "并入后一次";
    VerdictSkippedOverlap: "the run before went on", "前一次未结束";
    VerdictSkipped: "left out", "已跳过";
    VerdictMissed: "missed", "已错过";
    VerdictPaused: "paused", "暂停中";
    VerdictBackfilled: "ran later", "已补跑";
    VerdictByHand: "run by hand", "手动运行";

    // Runs.
    Schedule: "SCHEDULE", "定时任务";
    Took: "TOOK", "用时";
    NoRuns: "nothing has run yet", "尚无运行";
    FactJob: "job", "作业";
    FactFor: "for", "计划时间";
    FactBegan: "began", "开始于";
    FactTook: "took", "用时";
    FactDeadline: "deadline", "截止";
    FactDone: "done", "进度";
    FactAccepted: "messages", "消息";
    FactDuplicates: "told already", "重复";
    FactSuppressed: "told nothing", "已屏蔽";
    FactRefused: "refused", "被拒绝";
    FactResumed: "resumed", "续跑";
    FactRows: "rows", "行数";
    FactFirstRows: "of the first rows", "前若干行";
    FactReachable: "reachable", "可达";
    FactInADay: "in a day", "一天后";
    FactInAWeek: "in a week", "一周后";
    PartPreflight: "Whom it could reach when it began", "开始时可送达的人";
    PartLog: "Its log ({} lines)", "日志 ({} 行)";
    LogNotKept: "The lines after these were counted and not kept.", "其后的行只计数，未保留。";

    // Whom a broadcast would reach.
    WalksAudience: "the engine walks the audience", "引擎正在清点受众";

    // Plugins.
    Version: "VERSION", "版本";
    Stages: "STAGES", "环节";
    InFlight: "IN FLIGHT", "处理中";
    Panics: "PANICS", "崩溃";
    Late: "LATE", "超时";
    From: "FROM", "来源";
    BuiltIn: "built in", "内置";
    PluginWorking: "working", "正常";
    PluginParked: "parked", "停用";
    PluginAbsent: "absent", "缺失";
    PartStages: "What it offers", "提供的环节";
    FactVersion: "version", "版本";
    FactFile: "file", "文件";
    FactSha256: "sha256", "sha256";
    FactPanics: "panics", "崩溃";
    FactLate: "late", "超时";
    FactDoubled: "doubled", "重复应答";
    FactForeign: "foreign", "无关应答";
    FactMisshapen: "misshapen", "格式错误";
    FactLogLines: "log lines", "日志行";
    FactLogLeftOut: "left out", "略去";

    // Webhooks.
    WebhookOk: "ok", "正常";
    WebhookFailing: "failing", "失败中";
    WebhookDisabled: "disabled", "已停用";
    Url: "URL", "地址";
    Pending: "WAIT", "等待";
    Told: "TOLD", "已通知";
    Lost: "LOST", "丢弃";
    NoWebhooks: "config has no webhooks", "配置中没有回调";
    FactUrl: "url", "地址";
    FactEvents: "events", "事件";
    FactChannels: "channels", "通道";
    FactContentOf: "content", "内容";
    FactPending: "wait", "等待";
    FactTold: "told", "已通知";
    FactDropped: "left because too many waited", "因积压丢弃";
    FactGivenUp: "given up", "已放弃";
    FactFailingSince: "fails since", "开始失败于";
    FactDisabledSince: "disabled since", "停用于";
    All: "all", "全部";

    // Nodes.
    NodeUp: "up", "正常";
    NodeDraining: "draining", "正在停止";
    NodeGone: "gone", "已失联";
    LeaseAge: "LEASE AGE", "续约至今";
    SentPerS: "SENT/S", "每秒发出";
    Config: "CONFIG", "配置";
    ConfigSame: "the same", "一致";
    ConfigDiffers: "differs", "不一致";
    NoNodes: "no engine is known", "没有已知的引擎";
    FactNode: "number", "编号";
    FactAddress: "address", "地址";
    FactStarted: "started", "启动于";
    FactLeaseAge: "lease renewed", "续约于";
    FactLeaseEnds: "lease ends", "租约到期";
    FactSending: "sending", "发送中";
    FactSentPerS: "sent per second", "每秒发出";
    FactConfig: "config", "配置";
    NodeAnswers: "This engine answers.", "应答的就是该引擎。";
    NodeLeads: "It does what one engine does for all of them.", "由它代所有引擎做只需一个引擎做的事。";
    NodeConfigDiffers: "Its config is not that of the engine that answers: give both the same file and reload.",
        "它的配置与应答的引擎不一致：请让两者使用同一份配置并重新加载。";

    // The record of changes.
    Who: "WHO", "操作人";
    Act: "ACT", "操作";
    Subject: "SUBJECT", "对象";
    NoChanges: "nobody has changed anything yet", "尚无操作记录";
    FactAt: "at", "时间";
    FactWho: "by", "操作人";
    FactSubject: "to", "对象";
    FactCount: "messages", "消息";

    // States of tokens.
    TokenNone: "none", "没有";
    TokenValid: "valid", "有效";
    TokenExpired: "expired", "已过期";
    TokenWaiting: "waiting", "等待重试";
    TokenExhausted: "exhausted", "额度用尽";
    TokenHalted: "halted", "已停止";

    // One message.
    PartWhy: "Why it is not sending", "为何没有发送";
    PartFacts: "What it is", "基本信息";
    PartTimeline: "What happened", "经过";
    PartContent: "What it says", "消息内容";
    PartData: "Its data", "消息数据";
    FactTo: "to", "接收人";
    FactChannel: "channel", "通道";
    FactTemplate: "template", "模板";
    FactCreated: "accepted", "接受于";
    FactDue: "due", "到期发送";
    FactExpires: "expires", "过期于";
    FactEnded: "ended", "结束于";
    FactTries: "tries", "尝试";
    FactPriority: "priority", "优先级";
    FactProviderId: "provider id", "服务商编号";
    FactRun: "run", "运行";
    FactTrace: "trace", "追踪";
    FactAmbiguous: "An attempt of it may have arrived.", "其中一次尝试可能已经送达。";
    TimelineAccepted: "accepted", "已接受";
    TimelineBound: "has a credential", "已有凭证";
    TimelineBounced: "bounced", "被退回";
    TimelineTry: "try {}", "第 {} 次尝试";
    WhyScheduled: "It is for later: due {}.", "尚未到时间：{}。";
    WhyHeld: "It is held until somebody releases it or sends it again: {}.", "已暂扣，等待放行或重新发送：{}。";
    WhyWaiting: "It is due, and its recipient has no usable credential yet.", "已到时间，但接收人还没有可用凭证。";
    WhyOver: "It has ended; sending it again is up to you.", "已结束；是否重新发送由您决定。";
    WhyNoChannel: "Config has no channel `{}` any more.", "配置中已没有通道 `{}`。";
    WhyChannel: "Its channel `{}` is {}: {}", "通道 `{}` {}：{}";
    WhyUntil: "The channel opens by itself {}.", "通道将在 {} 自行开放。";
    WhyFull: "Its channel is full: {} of {} are on their way.", "通道已满：{} 条在途，上限 {}。";
    WhyQueued: "{} others of its channel are due; its rate is {}.", "同通道还有 {} 条到期；速率 {}。";
    WhyNextPermit: "A source gives its recipient another credential {}.", "来源将在 {} 给接收人新的凭证。";

    // What acts do.
    ActRetry: "Send again", "重新发送";
    ActCancel: "Cancel", "取消";
    ActHold: "Hold", "暂扣";
    ActRelease: "Release", "放行";
    ActPause: "Pause", "暂停";
    ActResume: "Resume", "恢复";
    ActRunNow: "Run now", "立即运行";
    ActSkip: "Leave its next time out", "跳过下一次";
    ActUnskip: "Leave no time out", "取消跳过";
    ActBackfill: "Run times of the past", "补跑";
    ActEndBackfill: "Run no more times of the past", "停止补跑";
    ActTestWebhook: "Post a notice to try it", "发送测试通知";
    ActRefreshToken: "Fetch a token", "获取令牌";
    ActAddCredential: "Add a credential", "添加凭证";
    EffectRetry: "It is sent again from the start, as soon as its channel lets it.", "将从头重新发送，通道允许即发出。";
    EffectCancel: "It is withdrawn and will not be sent.", "将被撤回，不再发送。";
    EffectHold: "It stops until somebody releases it.", "将停住，直到有人放行。";
    EffectRelease: "It goes on where it stopped.", "将从停住处继续。";
    EffectPause: "Nothing more of the channel is sent; what is on its way goes on.", "通道不再发出新消息；已在途的照常完成。";
    EffectRunNow: "It runs once more, now; its times stay as they are.", "将立即运行一次；原定时间不变。";
    EffectPauseSchedule: "It runs no more until somebody resumes it.", "将不再运行，直到有人恢复。";
    EffectResumeSchedule: "It runs again at its times.", "将按时间恢复运行。";
    EffectSkip: "Its next time does not run; those after it do.", "下一次不运行；之后照常。";
    EffectUnskip: "Its next times run, all of them.", "接下来各次都照常运行。";
    EffectBackfill: "They run one after the other; those that ran already do not.", "将逐次补跑；已运行过的不再运行。";
    EffectEndBackfill: "The times that have not run yet stay as they are.", "尚未补跑的各次保持原样。";
    EffectResumeWebhook: "All that waits for it is posted now.", "等待中的通知将立即发送。";
    EffectTestWebhook: "One notice of the type webhook.test is posted, once.", "将发送一条 webhook.test 通知。";
    EffectRefreshToken: "One of the day's fetches is used; a halt is lifted.", "将用去今日一次获取额度，并解除停止。";
    EffectCancelRun: "It ends where it is; messages that it made are sent.", "将就此结束；已生成的消息照常发送。";
    EffectAddCredential: "It goes into the ledger; what waits for it is sent.", "将存入凭证库；等待它的消息随即发送。";
    EffectResume: "The channel sends again.", "通道恢复发送。";
    ActEnded: "The act came to its end.", "操作已完成。";
    ActBroke: "The act came to nothing; look at the record.", "操作未能完成，请查看审计记录。";
    ActGoesOn: "The act goes on; its end will be told here.", "操作仍在继续，完成后会在此告知。";

    // Asking about an act.
    Planning: "asking the engine what this would do", "正在询问引擎将会如何";
    PlanCount: "{} messages match.", "共有 {} 条消息匹配。";
    PlanTimes: "{} times lie there, {} of them ran; {} will run.", "该范围内共 {} 次，已运行 {} 次；将补跑 {} 次。";
    PlanPace: "They go at {}, for {}.", "以 {} 的速度发送，约需 {}。";
    PlanTwice: "Some may have arrived, and would arrive twice.", "其中有些可能已经送达，会重复送达。";
    FieldCount: "Type {} to say how many", "请输入数量 {}";
    FieldReason: "Reason", "原因";
    FieldFrom: "From, as in 2h or 2026-03-01T00:00:00Z", "起始，如 2h 或 2026-03-01T00:00:00Z";
    FieldTo: "To, else now", "截止，默认现在";
    FieldSource: "Source, as in wechat.form_id", "来源，如 wechat.form_id";
    FieldApp: "App", "应用";
    FieldCredential: "Its fields, as in form_id=... openId=...", "字段，如 form_id=... openId=...";
    Optional: "(may stay empty)", "(可不填)";
    FieldWrong: "not that", "不对";
    Question: "Press {} to do it, Esc to leave it", "按 {} 执行，按 Esc 放弃";
    Doing: "under way; Esc closes this and lets it go on", "进行中；按 Esc 关闭此框，操作继续";
    AnyKeyCloses: "any key closes this", "按任意键关闭";
    ResultMoved: "done: {}", "完成：{}";
    ResultLeft: "left: {}", "剩余：{}";
    ResultPassedOver: "moved by somebody else meanwhile: {}", "期间已被他人改动：{}";
    ResultRefused: "refused: {}", "被拒绝：{}";

    // Why a key does nothing.
    ReadOnly: "READ-ONLY", "只读";
    RefusedStale: "not now: the engine does not answer", "暂不可用：引擎没有应答";
    RefusedBusy: "not now: other acts are under way", "暂不可用：其他操作正在进行";
    RefusedUnknown: "not yet: the engine has not said what we may do", "尚不可用：引擎还未告知权限";
    RefusedScope: "the key `{}` has no scope `{}`", "密钥 `{}` 没有权限 `{}`";
    RefusedNone: "there is nothing under the cursor", "光标下没有内容";
    RefusedState: "{} is {}", "{} 的状态是{}";
    RefusedNoBroadcast: "{} sends to no audience", "{} 没有发送对象";
    RefusedNoFilter: "set a filter first: `/`", "请先用 `/` 设置过滤条件";
    RefusedNoState: "name a state in the filter: failed, unknown, expired, cancelled or held",
        "请在过滤条件中指明状态：failed、unknown、expired、cancelled 或 held";
    QuitWhileActing: "an act is under way; Ctrl-C leaves it where it is", "有操作正在进行；按 Ctrl-C 就此离开";

    // Typing.
    UnknownCommand: "there is no command `{}` here", "此处没有命令 `{}`";
    FooterCommand: "Enter runs it, Tab completes it, Esc leaves", "Enter 执行，Tab 补全，Esc 放弃";
    FooterFilter: "{}  Tab completes", "{}  Tab 补全";
    FooterDialog: "Enter next, Shift-Tab back, Esc leaves", "Enter 下一项，Shift-Tab 上一项，Esc 放弃";
    FilterUnknownName: "no `{}:` here", "没有 `{}:`";
    FilterUnknownState: "no state `{}`", "没有状态 `{}`";
    FilterTwice: "`{}:` twice", "`{}:` 重复";
    FilterEmpty: "nothing behind `{}:`", "`{}:` 后为空";
    FilterReason: "`reason:` needs a state beside it", "`reason:` 需要同时指明状态";

    // Lists.
    AsOf: "{} old", "{} 前的数据";
    AllMessages: "all, newest first", "全部，最新在前";
    Loading: "loading", "加载中";
    NothingMatches: "nothing matches", "没有匹配的内容";
    LookedThrough: "nothing so far; {} looks further", "目前没有；按 {} 继续查找";
    Marked: "{} marked", "已标记 {}";
    Pinned: "newer ones may have come; {} shows them", "可能有更新的消息；按 {} 查看";
    Mark: "*", "*";
    Out: "OUT/S", "发出/s";
    Rate: "RATE", "限速";
    Transport: "TRANSPORT", "传输";
    Number: "COUNT", "数量";
    Stopped: "What stopped in {}", "{} 中停下的消息";
    NothingStopped: "nothing stopped", "没有停下的消息";
    Age: "AGE", "时长";
    Id: "ID", "编号";
    Channel: "CHANNEL", "通道";
    Recipient: "RECIPIENT", "接收人";
    Template: "TEMPLATE", "模板";
    Tries: "TRIES", "尝试";
    Due: "DUE", "到期发送";
    Reason: "REASON", "原因";

    // What keys do.
    KeyHelp: "help", "帮助";
    KeyQuit: "quit", "退出";
    KeyOpen: "open", "打开";
    KeyBack: "back", "返回";
    KeyShowMessage: "show the message with that id", "查看该编号的消息";
    KeyFilter: "filter", "过滤";
    KeyCommand: "command", "命令";
    KeyMark: "mark", "标记";
    KeyRetry: "send again", "重新发送";
    KeyCancel: "cancel", "取消";
    KeyPause: "pause or resume", "暂停或恢复";
    KeyRunNow: "run now", "立即运行";
    KeySkip: "leave the next time out", "跳过下一次";
    KeyBackfill: "run times of the past, or no more", "补跑或停止补跑";
    KeyPreflight: "whom it would reach", "可达范围";
    KeyResume: "set going again", "恢复";
    KeyTestWebhook: "post a notice to try it", "发送测试通知";
    KeyRefreshToken: "fetch a token", "获取令牌";
    KeyAddCredential: "add a credential", "添加凭证";
    KeyHold: "hold or release", "暂扣或放行";
    KeyRetryMatching: "send all again that match", "重新发送所有匹配的";
    KeyCancelMatching: "cancel all that match", "取消所有匹配的";
    KeyHoldMatching: "hold all that match", "暂扣所有匹配的";
    KeyReleaseMatching: "release all that match", "放行所有匹配的";
    KeyRefresh: "refresh now", "立即刷新";
    KeyNextList: "next list", "下一列表";
    KeyPreviousList: "previous list", "上一列表";
    KeyDown: "down", "向下";
    KeyUp: "up", "向上";
    KeyPageDown: "a page down", "下一页";
    KeyPageUp: "a page up", "上一页";
    KeyFirst: "to the top", "到顶部";
    KeyLast: "to the end", "到末尾";
    KeyRedraw: "draw afresh", "重新绘制";
}

impl Word {
    /// The sentence with something in each `{}`, in order. What is put in is never read for `{}` itself.
    pub(crate) fn with(self, language: Language, values: &[&str]) -> String {
        let mut parts = self.text(language).split("{}");
        let mut sentence = parts.next().unwrap_or_default().to_owned();
        for (part, value) in parts.zip(values) {
            sentence.push_str(value);
            sentence.push_str(part);
        }
        sentence
    }
}

/// A state of messages in words; one that this version does not know is shown as it came.
pub(crate) fn message_state(state: &str, language: Language) -> Cow<'_, str> {
    let word = match state {
        "scheduled" => Word::StateScheduled,
        "queued" => Word::StateQueued,
        "waiting" => Word::StateWaiting,
        "sending" => Word::StateSending,
        "held" => Word::StateHeld,
        "sent" => Word::StateSent,
        "delivered" => Word::StateDelivered,
        "failed" => Word::StateFailed,
        "unknown" => Word::StateUnknown,
        "expired" => Word::StateExpired,
        "cancelled" => Word::StateCancelled,
        other => return Cow::Borrowed(other),
    };
    Cow::Borrowed(word.text(language))
}

/// A state of channels in words.
pub(crate) fn channel_state(state: &str, language: Language) -> &str {
    match state {
        "open" => Word::ChannelOpen.text(language),
        "paused" => Word::ChannelPaused.text(language),
        "cooling" => Word::ChannelCooling.text(language),
        "halted" => Word::ChannelHalted.text(language),
        "parked" => Word::ChannelParked.text(language),
        other => other,
    }
}

/// A state of runs in words.
pub(crate) fn run_state(state: &str, language: Language) -> &str {
    match state {
        "running" => Word::RunRunning.text(language),
        "done" => Word::RunDone.text(language),
        "failed" => Word::RunFailed.text(language),
        "cancelled" => Word::RunCancelled.text(language),
        "interrupted" => Word::RunInterrupted.text(language),
        other => other,
    }
}

/// A state of schedules in words.
pub(crate) fn schedule_state(state: &str, language: Language) -> &str {
    match state {
        "active" => Word::ScheduleActive.text(language),
        "paused" => Word::ChannelPaused.text(language),
        "ahead" => Word::ScheduleAhead.text(language),
        "removed" => Word::ScheduleRemoved.text(language),
        other => other,
    }
}

/// What was decided of a time of a schedule, in words.
pub(crate) fn verdict(verdict: &str, language: Language) -> &str {
    match verdict {
        "fired" => Word::VerdictFired.text(language),
        "failed" => Word::VerdictFailed.text(language),
        "coalesced" => Word::VerdictCoalesced.text(language),
        "skipped_overlap" => Word::VerdictSkippedOverlap.text(language),
        "skipped" => Word::VerdictSkipped.text(language),
        "missed" => Word::VerdictMissed.text(language),
        "paused" => Word::VerdictPaused.text(language),
        "backfilled" => Word::VerdictBackfilled.text(language),
        "by_hand" => Word::VerdictByHand.text(language),
        other => other,
    }
}

/// A state of tokens in words.
pub(crate) fn token_state(state: &str, language: Language) -> &str {
    match state {
        "none" => Word::TokenNone.text(language),
        "valid" => Word::TokenValid.text(language),
        "expired" => Word::TokenExpired.text(language),
        "waiting" => Word::TokenWaiting.text(language),
        "exhausted" => Word::TokenExhausted.text(language),
        "halted" => Word::TokenHalted.text(language),
        other => other,
    }
}

/// A state of nodes in words.
pub(crate) fn node_state(state: &str, language: Language) -> &str {
    match state {
        "up" => Word::NodeUp.text(language),
        "draining" => Word::NodeDraining.text(language),
        "gone" => Word::NodeGone.text(language),
        other => other,
    }
}

/// A state of webhooks in words.
pub(crate) fn webhook_state(state: &str, language: Language) -> &str {
    match state {
        "ok" => Word::WebhookOk.text(language),
        "failing" => Word::WebhookFailing.text(language),
        "disabled" => Word::WebhookDisabled.text(language),
        other => other,
    }
}

/// A state of plugins in words.
pub(crate) fn plugin_state(state: &str, language: Language) -> &str {
    match state {
        "working" => Word::PluginWorking.text(language),
        "parked" => Word::PluginParked.text(language),
        "absent" => Word::PluginAbsent.text(language),
        other => other,
    }
}

/// A number with its thousands apart: `18,204`.
pub(crate) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        grouped.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Clean;

    #[test]
    fn the_first_locale_that_is_set_decides() {
        let of = |locales: [&str; 3]| Language::of_locales(locales.map(|locale| Some(locale.to_owned())));
        assert_eq!(of(["", "", "zh_CN.UTF-8"]), Language::Zh);
        assert_eq!(of(["C", "zh_CN.UTF-8", "zh_CN.UTF-8"]), Language::En);
        assert_eq!(of(["", "zh_TW", "en_US.UTF-8"]), Language::Zh);
        assert_eq!(of(["", "", ""]), Language::En);
        assert_eq!(Language::of_locales([None, None, None]), Language::En);
    }

    #[test]
    fn both_languages_have_every_word_with_the_same_holes() {
        for word in Word::ALL {
            let holes = |language| word.text(language).matches("{}").count();
            assert!(!word.text(Language::Zh).is_empty());
            assert_eq!(holes(Language::En), holes(Language::Zh), "{word:?}");
        }
    }

    #[test]
    fn every_state_and_verdict_has_words_in_both_languages() {
        type Words = fn(&str, Language) -> Cow<'_, str>;
        let walk = |of: &str, states: &[&str], words: Words| {
            for state in states {
                // What has no words is shown as it came: in Chinese that is seen.
                assert_ne!(words(state, Language::Zh), *state, "{of}");
                assert!(!words(state, Language::En).is_empty(), "{of}: {state}");
            }
        };
        let messages = tidings_model::state::State::ALL.map(tidings_model::state::State::as_str);
        walk("messages", &messages, message_state);
        let runs = tidings_model::run::RunState::ALL.map(tidings_model::run::RunState::as_str);
        walk("runs", &runs, |state, language| run_state(state, language).into());
        let channels = ["open", "paused", "cooling", "halted", "parked"];
        walk("channels", &channels, |state, language| channel_state(state, language).into());
        let schedules = ["active", "paused", "ahead", "removed"];
        walk("schedules", &schedules, |state, language| schedule_state(state, language).into());
        let tokens = ["none", "valid", "expired", "waiting", "exhausted", "halted"];
        walk("tokens", &tokens, |state, language| token_state(state, language).into());
        let plugins = ["working", "parked", "absent"];
        walk("plugins", &plugins, |state, language| plugin_state(state, language).into());
        let webhooks = ["ok", "failing", "disabled"];
        walk("webhooks", &webhooks, |state, language| webhook_state(state, language).into());
        walk("nodes", &["up", "draining", "gone"], |state, language| node_state(state, language).into());
        let verdicts =
            ["fired", "failed", "coalesced", "skipped_overlap", "skipped", "missed", "paused", "backfilled", "by_hand"];
        walk("verdicts", &verdicts, |word, language| verdict(word, language).into());
    }

    #[test]
    fn words_take_the_same_columns_in_every_terminal() {
        for word in Word::ALL {
            for language in [Language::En, Language::Zh] {
                let text = word.text(language);
                assert_eq!(Clean::new(text).as_str(), text);
                // ASCII, ideographs, full-width forms, the ideographic full stop: nothing of ambiguous width.
                let safe = |c: char| {
                    c.is_ascii()
                        || matches!(c, '\u{3001}' | '\u{3002}' | '\u{4e00}'..='\u{9fff}' | '\u{ff01}'..='\u{ff5e}')
                };
                assert!(text.chars().all(safe), "{word:?}: {text}");
            }
        }
    }

    #[test]
    fn what_is_put_in_is_not_read_again() {
        assert_eq!(Word::Part.with(Language::En, &["{}", "7"]), "{} of 7");
        assert_eq!(Word::Part.with(Language::En, &["only one"]), "only one of ");
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (18_204, "18,204"), (-1_000, "-1,000"), (2_114_870, "2,114,870")]
        {
            assert_eq!(count(number), text);
        }
        assert_eq!(count(i64::MIN), "-9,223,372,036,854,775,808");
    }
}
