//! Tests of a first launch: what it creates, and what it asks.

use crate::common::launch::Launch as _;
use serde_json::json;
use skypipe::exit::USAGE;
use skypipe::provision::image::{Architecture, Image};
use skypipe::provision::{Host, State};

use crate::fly_api::executable;
use crate::fly_api::person::{Person, Run, TOKEN, plan};
use crate::fly_api::platform::{Platform, Verdict};

#[test]
fn a_launch_makes_one_of_each() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let mut fly = run.fly();
    let mut person = Person::default();
    assert_eq!(fly.find(&mut person).expect("an answer"), None);
    let found = fly.launch(&plan(), None, &mut person).expect("a launch");
    assert_eq!(found.version.as_deref(), Some("1.0.0"));
    assert_eq!(found.owner.as_deref(), Some("ownerkey"));
    assert_eq!(found.state, State::Running);
    let letters = found
        .name
        .strip_prefix("skypipe-")
        .expect("our kind of name");
    assert!(
        letters.len() == 10
            && letters
                .bytes()
                .all(|byte| b"abcdefghijklmnopqrstuvwxyz234567".contains(&byte))
    );
    assert_eq!(
        fly.endpoint(&found).expect("an address"),
        "[2a09:8280:1::1]:9000"
    );
    assert_eq!(
        run.fly().find(&mut person).expect("an answer"),
        Some(found.clone())
    );
    assert_eq!(
        platform.last("POST", "/v1/apps"),
        json!({ "name": found.name, "org_slug": "personal" })
    );
    let guest = json!({ "cpu_kind": "shared", "cpus": 1, "memory_mb": 256 });
    assert_eq!(
        platform.last("POST", "/volumes"),
        json!({ "name": "skypipe_data", "region": "ams", "size_gb": 1, "encrypted": true, "compute": guest })
    );
    assert_eq!(
        platform.last("POST", "/ip_assignments"),
        json!({ "type": "v6" })
    );
    let machine = platform.last("POST", "/machines");
    let host = platform.url.strip_prefix("http://").expect("a URL");
    assert_eq!(machine["name"], "satellite");
    assert_eq!(machine["region"], "ams");
    let image = Image::pack(&executable::bytes("program"), Architecture::Amd64);
    let digest = image.digest();
    assert_eq!(
        machine["config"],
        json!({
            "image": format!("{host}/{}@{digest}", found.name),
            "guest": guest,
            "init": { "exec": ["/skypipe", "--satellite", "0.0.0.0:9000", "--data", "/data", "--public",
                "[2a09:8280:1::1]:9000", "--owner=ownerkey"] },
            "restart": { "policy": "always" },
            "metadata": { "skypipe": "satellite", "skypipe_version": "1.0.0", "skypipe_owner": "ownerkey",
                "skypipe_port": "9000" },
            "mounts": [{ "volume": "vol_1", "path": "/data" }],
            "services": [{ "protocol": "tcp", "internal_port": 9000, "autostop": "off", "autostart": true,
                "min_machines_running": 1, "ports": [{ "port": 9000, "handlers": [] }] }],
            "checks": { "satellite": { "type": "tcp", "port": 9000, "interval": "15s", "timeout": "5s",
                "grace_period": "5s" } },
        })
    );
    for seen in &platform.state().seen {
        let basic = seen.path.starts_with("/v2/");
        // base64 of `x:` and the token.
        let expected = if basic {
            "Basic eDpmbTJfc2VjcmV0c2VjcmV0".to_owned()
        } else {
            format!("FlyV1 {TOKEN}")
        };
        assert_eq!(seen.authorization, expected, "{}", seen.path);
    }
}

#[test]
fn an_image_is_taken_as_it_is_and_a_host_as_it_was_said() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let mut plan = plan();
    plan.image = Some("docker.io/some/skypipe:2".to_owned());
    plan.public = Some("sky.example".to_owned());
    plan.port = Some(443);
    let found = run
        .fly()
        .launch(&plan, None, &mut Person::default())
        .expect("a launch");
    let config = platform.last("POST", "/machines")["config"].clone();
    assert_eq!(config["image"], "docker.io/some/skypipe:2");
    assert_eq!(config["init"]["exec"][6], "sky.example:443");
    assert_eq!(config["services"][0]["ports"][0]["port"], 443);
    assert_eq!(config["metadata"]["skypipe_public"], "sky.example");
    assert_eq!(
        platform
            .state()
            .seen
            .iter()
            .filter(|seen| seen.method == "PUT")
            .count(),
        0
    );
    assert_eq!(
        run.fly().endpoint(&found).expect("an address"),
        "[2a09:8280:1::1]:443"
    );
}

#[test]
fn of_several_organisations_and_regions_one_is_chosen() {
    let platform = Platform::start();
    platform.state().orgs = vec!["personal", "work"];
    let run = Run::new(&platform).set("FLY_REGION", "");
    let failure = run
        .fly()
        .launch(&plan(), None, &mut Person::default())
        .expect_err("nobody chose");
    assert_eq!(failure.code, USAGE);
    assert!(failure.sentence.contains("--org"), "{failure}");
    assert_eq!(platform.count("POST", "/v1/apps"), 0);
    let mut person = Person {
        picks: vec!["work", "fra"],
        ..Person::default()
    };
    run.fly()
        .launch(&plan(), None, &mut person)
        .expect("a launch");
    assert_eq!(platform.last("POST", "/v1/apps")["org_slug"], "work");
    assert_eq!(platform.last("POST", "/volumes")["region"], "fra");
}

#[test]
fn flags_go_before_the_environment_and_nothing_is_asked() {
    let platform = Platform::start();
    platform.state().orgs = vec!["personal", "work"];
    let mut run = Run::new(&platform).set("FLY_ORG", "personal");
    run.options.org = Some("work".to_owned());
    run.options.region = Some("syd".to_owned());
    let mut person = Person::default();
    run.fly()
        .launch(&plan(), None, &mut person)
        .expect("a launch");
    assert_eq!(platform.last("POST", "/v1/apps")["org_slug"], "work");
    assert_eq!(platform.last("POST", "/volumes")["region"], "syd");
    assert_eq!(platform.count("POST", "/graphql"), 0);
    assert!(
        !person
            .asked
            .iter()
            .any(|question| question.contains("Which"))
    );
}

#[test]
fn an_ipv4_address_is_taken_only_with_consent() {
    for (flag, answer, taken) in [
        (false, None, false),
        (false, Some(false), false),
        (false, Some(true), true),
        (true, None, true),
    ] {
        let platform = Platform::start();
        let mut run = Run::new(&platform);
        run.options.ipv4 = flag;
        let mut person = Person {
            confirms: answer,
            ..Person::default()
        };
        let found = run
            .fly()
            .launch(&plan(), None, &mut person)
            .expect("a launch");
        assert_eq!(
            person
                .asked
                .iter()
                .any(|question| question.contains("$2 a month")),
            !flag
        );
        let address = if taken {
            "137.66.0.1:9000"
        } else {
            "[2a09:8280:1::1]:9000"
        };
        assert_eq!(
            platform.last("POST", "/machines")["config"]["init"]["exec"][6],
            address
        );
        assert_eq!(run.fly().endpoint(&found).expect("an address"), address);
    }
}

#[test]
fn a_taken_name_gives_way_to_another() {
    let platform = Platform::start();
    platform.judge(|index, seen, state| {
        if seen.method == "POST" && seen.path == "/v1/apps" && index < 4 {
            let name = seen.body["name"].as_str().expect("a name").to_owned();
            state.foreign.push(name);
        }
        Verdict::Serve
    });
    let found = Run::new(&platform)
        .fly()
        .launch(&plan(), None, &mut Person::default())
        .expect("a launch");
    let state = platform.state();
    assert!(!state.foreign.is_empty() && !state.foreign.contains(&found.name));
    assert_eq!(state.apps.len(), 1);
}

#[test]
fn a_region_without_room_is_told_and_left() {
    let words = "insufficient resources available to fulfill request";
    without_room(
        422,
        &json!({ "error": words, "status": "insufficient_capacity" }),
    );
    without_room(
        412,
        &json!({ "error": "aborted: insufficient resources, insufficient memory" }),
    );
}

fn without_room(status: u16, body: &serde_json::Value) {
    let platform = Platform::start();
    let body = body.clone();
    platform.judge(move |_, seen, _| {
        let full = seen.path.ends_with("/machines") && seen.body["region"] == "ams";
        if full {
            return Verdict::Answer(status, body.clone());
        }
        Verdict::Serve
    });
    let mut run = Run::new(&platform);
    let failure = run
        .fly()
        .launch(&plan(), None, &mut Person::default())
        .expect_err("no room");
    for words in [
        "insufficient resources",
        "01TEST-ams",
        "--region",
        "An empty volume is left in ams",
    ] {
        assert!(failure.sentence.contains(words), "{failure}");
    }
    run.options.region = Some("fra".to_owned());
    let mut person = Person::default();
    let found = run
        .fly()
        .find(&mut person)
        .expect("an answer")
        .expect("a beginning");
    assert_eq!(found.state, State::Unfinished);
    run.fly()
        .launch(&plan(), Some(&found), &mut person)
        .expect("a launch");
    assert!(
        person
            .said
            .iter()
            .any(|sentence| sentence.contains("in ams is empty and stays")),
        "{:?}",
        person.said
    );
    let state = platform.state();
    assert_eq!(state.apps.len(), 1);
    let app = &state.apps[&found.name];
    assert_eq!(
        (app.volumes.len(), app.ips.len(), app.machines.len()),
        (2, 1, 1)
    );
    assert_eq!(app.machines[0]["region"], "fra");
}

#[test]
fn a_volume_with_data_is_not_left_for_another_region() {
    let platform = Platform::start();
    let mut run = Run::new(&platform);
    let mut person = Person::default();
    let found = run
        .fly()
        .launch(&plan(), None, &mut person)
        .expect("a launch");
    {
        let mut state = platform.state();
        let app = state.apps.get_mut(&found.name).expect("an app");
        let mut machine = app.machines.remove(0);
        machine["state"] = json!("destroyed");
        machine["events"] = json!([{ "type": "start", "status": "started" }]);
        app.deleted.push(machine);
    }
    let found = run
        .fly()
        .find(&mut person)
        .expect("an answer")
        .expect("a beginning");
    assert_eq!(found.state, State::Unfinished);
    run.options.region = Some("fra".to_owned());
    let failure = run
        .fly()
        .launch(&plan(), Some(&found), &mut person)
        .expect_err("data in ams");
    assert!(
        failure.sentence.contains("data is on a volume in ams"),
        "{failure}"
    );
    run.options.region = None;
    run.fly()
        .launch(&plan(), Some(&found), &mut person)
        .expect("a launch");
    assert_eq!(platform.state().apps[&found.name].volumes.len(), 1);
}

#[test]
fn without_ipv6_here_the_endpoint_says_what_to_do() {
    let platform = Platform::start();
    let mut run = Run::new(&platform);
    run.ipv6 = false;
    let mut person = Person::default();
    let found = run
        .fly()
        .launch(&plan(), None, &mut person)
        .expect("a launch");
    assert!(
        person
            .asked
            .iter()
            .any(|question| question.contains("which this machine does not have")),
        "{:?}",
        person.asked
    );
    let failure = run.fly().endpoint(&found).expect_err("no way");
    assert!(
        failure.sentence.contains("no IPv6") && failure.sentence.contains("--ipv4"),
        "{failure}"
    );
    run.options.ipv4 = true;
    run.fly()
        .launch(&plan(), Some(&found), &mut person)
        .expect("an address");
    assert_eq!(
        run.fly().endpoint(&found).expect("an address"),
        "137.66.0.1:9000"
    );
    let app = &platform.state().apps[&found.name];
    assert_eq!((app.ips.len(), app.machines.len()), (2, 1));
    assert_eq!(
        app.machines[0]["config"]["init"]["exec"][6],
        "137.66.0.1:9000"
    );
}
