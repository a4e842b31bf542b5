#![allow(warnings, clippy::all, clippy::pedantic)]
use super::*;
use crate::domain::id::*;
use crate::domain::policy::EntrypointPolicy;
use crate::domain::unit::*;
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

fn docker() -> Docker {
    Docker::connect(std::env::var("TRY_HOST").ok().as_deref()).unwrap()
}
fn sh(text: &str) -> String {
    let mut c = Command::new("sh");
    c.arg("-c").arg(text);
    if let Ok(h) = std::env::var("TRY_HOST") {
        c.env("DOCKER_HOST", h);
    }
    let o = c.output().unwrap();
    let t = String::from_utf8_lossy(&o.stdout).trim().to_owned();
    if !o.status.success() {
        println!("[sh failed] {text}: {}", String::from_utf8_lossy(&o.stderr));
    }
    t
}
fn box_(extra: &str) -> ContainerId {
    ContainerId::new(sh(&format!(
        "docker run -d --label stackwarden.try=1 {extra} debian:trixie-slim sleep 600"
    )))
}
fn req(argv: &[&str]) -> ExecRequest {
    ExecRequest {
        argv: argv.iter().map(|s| s.to_string()).collect(),
        env: vec![("TRY".into(), "value".into())],
        user: None,
        stdin: StdinMode::Absent,
    }
}
const S: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn live_exec() {
    let d = docker();
    println!("{:?}", d.version().await.unwrap());
    println!("own: {:?}", d.find_own().await);
    let c = box_("");
    // collect
    let t = Instant::now();
    let r = d
        .exec_collect(
            &c,
            req(&["sh", "-c", "echo out $TRY; echo err >&2; exit 3"]),
            None,
            S,
        )
        .await
        .unwrap();
    println!("collect {r:?} {:?} in {:?}", r.stdout, t.elapsed());
    let r = d
        .exec_collect(
            &c,
            req(&["sh", "-c", "cat; echo end"]),
            Some(vec![b'x'; 5_000_000]),
            S,
        )
        .await
        .unwrap();
    println!("half close: {} bytes, code {}", r.stdout.len(), r.code);
    assert_eq!(r.stdout.len(), 5_000_004);
    for argv in [
        &["nothere"][..],
        &["/etc/passwd"],
        &["sh", "-c", "nothere"],
        &["sh", "-c", "kill -9 $$"],
    ] {
        let r = d.exec_collect(&c, req(argv), None, S).await;
        println!(
            "{argv:?}: {r:?} missing={:?}",
            r.as_ref().map(|r| r.end().is_missing_program())
        );
    }
    let r = d
        .exec_collect(&c, req(&["nothere"]), Some(b"input".to_vec()), S)
        .await;
    println!("missing with stdin: {r:?}");
    let mut rq = req(&["id"]);
    rq.user = Some("nobodyhere".into());
    println!("bad user {:?}", d.exec_collect(&c, rq, None, S).await);
    let r = d
        .exec_collect(
            &c,
            req(&["sh", "-c", "exec 0<&-; exit 0"]),
            Some(vec![0; 20_000_000]),
            S,
        )
        .await;
    println!("not reading its input: {r:?}");
    let r = d
        .exec_collect(&c, req(&["sleep", "5"]), None, Duration::from_secs(1))
        .await;
    println!("deadline: {}", r.unwrap_err());
    // big stderr silent stdout
    let r = d
        .exec_collect(
            &c,
            req(&[
                "sh",
                "-c",
                "head -c 1000000 /dev/zero | tr '\\0' e >&2; echo done",
            ]),
            None,
            S,
        )
        .await
        .unwrap();
    println!("big stderr: {} kept, {:?}", r.stderr.len(), r.stdout);
    // throughput
    for _ in 0..3 {
        let t = Instant::now();
        let mut e = d
            .exec(&c, req(&["head", "-c", "300000000", "/dev/zero"]))
            .await
            .unwrap();
        let mut n = 0usize;
        let mut k = 0;
        while let Some(b) = e.output.next().await.unwrap() {
            n += b.len();
            k += 1;
        }
        let read = t.elapsed();
        let end = d.exec_end(&e.id, S).await.unwrap();
        println!(
            "{n} bytes in {k} chunks {read:?} = {:.0} MB/s; end {end:?} after {:?}",
            n as f64 / 1e6 / read.as_secs_f64(),
            t.elapsed() - read
        );
        assert_eq!(n, 300_000_000);
    }
    // into stdin
    let t = Instant::now();
    let mut rq = req(&["sh", "-c", "cat | wc -c"]);
    rq.stdin = StdinMode::Attached;
    let Exec { id, stdin, output } = d.exec(&c, rq).await.unwrap();
    let mut stdin = stdin.unwrap();
    let (mut r, h) = output.into_reader();
    let w = async {
        let b = vec![0u8; 1 << 20];
        for _ in 0..200 {
            stdin.write_all(&b).await.unwrap();
        }
        stdin.shutdown().await.unwrap();
    };
    let mut s = String::new();
    let (_, _) = tokio::join!(w, r.read_to_string(&mut s));
    println!(
        "stdin 200 MiB: {} {:?} {:?}",
        s.trim(),
        t.elapsed(),
        d.exec_end(&id, S).await
    );
    // line protocol
    let mut rq = req(&["sh", "-c", "while read l; do echo got $l; done"]);
    rq.stdin = StdinMode::Attached;
    let Exec { id, stdin, output } = d.exec(&c, rq).await.unwrap();
    let mut stdin = stdin.unwrap();
    let (r, h) = output.into_reader();
    let mut lines = tokio::io::BufReader::new(r).lines();
    let t = Instant::now();
    for i in 0..100 {
        stdin.write_all(format!("{i}\n").as_bytes()).await.unwrap();
        stdin.flush().await.unwrap();
        assert_eq!(
            lines.next_line().await.unwrap().unwrap(),
            format!("got {i}")
        );
    }
    println!("100 round trips {:?}", t.elapsed());
    // drop both ends: does the program end?
    drop(stdin);
    drop(lines);
    println!("dropped both: {:?}", d.exec_end(&id, S).await);
    // dropped with stdin attached
    let mut rq = req(&["cat"]);
    rq.stdin = StdinMode::Attached;
    let e = d.exec(&c, rq).await.unwrap();
    let id = e.id.clone();
    drop(e);
    println!(
        "cat dropped: {:?}",
        d.exec_end(&id, Duration::from_secs(3)).await
    );
    // dropped without stdin while printing
    let e = d.exec(&c, req(&["sh", "-c", "yes; echo x"])).await.unwrap();
    let id = e.id.clone();
    drop(e);
    println!(
        "yes dropped, no stdin: {:?}",
        d.exec_end(&id, Duration::from_secs(3))
            .await
            .map_err(|e| e.to_string())
    );
    let e = d
        .exec(&c, req(&["sh", "-c", "head -c 50000000 /dev/zero; exit 0"]))
        .await
        .unwrap();
    let id = e.id.clone();
    let mut o = e.output;
    o.next().await.unwrap();
    drop(o);
    println!(
        "50MB dropped after first chunk: {:?}",
        d.exec_end(&id, Duration::from_secs(5))
            .await
            .map_err(|e| e.to_string())
    );
    // stdin dropped only, output kept
    let mut rq = req(&["cat"]);
    rq.stdin = StdinMode::Attached;
    let mut e = d.exec(&c, rq).await.unwrap();
    drop(e.stdin.take());
    println!(
        "stdin dropped, output kept: {:?}",
        tokio::time::timeout(Duration::from_secs(2), e.output.next()).await
    );
    // paused
    sh(&format!("docker pause {c}"));
    println!("paused: {}", d.exec(&c, req(&["id"])).await.unwrap_err());
    sh(&format!("docker unpause {c}"));
    // kill container in mid exec
    let mut e = d
        .exec(
            &c,
            req(&["sh", "-c", "while :; do echo tick; sleep 0.01; done"]),
        )
        .await
        .unwrap();
    e.output.next().await.unwrap();
    sh(&format!("docker kill {c}"));
    let t = Instant::now();
    let mut last;
    loop {
        last = e.output.next().await;
        if !matches!(last, Ok(Some(_))) {
            break;
        }
    }
    println!(
        "killed: stream {last:?}; end {:?} {:?}",
        d.exec_end(&e.id, S).await,
        t.elapsed()
    );
    println!(
        "exec in dead: {}",
        d.exec(&c, req(&["id"])).await.unwrap_err()
    );
    d.remove(&c).await.unwrap();
    println!(
        "end after removal {:?}",
        d.exec_end(&e.id, S).await.map_err(|e| e.to_string())
    );
    println!(
        "exec in gone: {}",
        d.exec(&c, req(&["id"])).await.unwrap_err()
    );
    d.remove(&c).await.unwrap();
    d.kill(&c).await.unwrap();
    // kill with remove -f in mid dump
    let c = box_("");
    let mut e = d.exec(&c, req(&["cat", "/dev/zero"])).await.unwrap();
    for _ in 0..1000 {
        e.output.next().await.unwrap();
    }
    let rm = d.remove(&c);
    let rd = async {
        loop {
            let last = e.output.next().await;
            if !matches!(last, Ok(Some(_))) {
                break last;
            }
        }
    };
    let (a, b) = tokio::join!(rm, rd);
    println!(
        "removed under a flood: {a:?} stream {:?} end {:?}",
        b.map(|_| ()),
        d.exec_end(&e.id, Duration::from_secs(3))
            .await
            .map_err(|e| e.to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn live_clone() {
    let d = docker();
    sh(
        "docker network create --label stackwarden.try=1 try-a; docker network create --label stackwarden.try=1 try-b; docker volume create --label stackwarden.try=1 try-named; mkdir -p /tmp/try-bind; echo bound > /tmp/try-bind/f",
    );
    let src = ContainerId::new(sh(
        "docker create --name try-src --hostname app1 -p 127.0.0.1::80 --restart always --label com.docker.compose.project=try --label com.docker.compose.service=api --label com.docker.compose.oneoff=False --label traefik.enable=true --label stackwarden.try=1 --network try-a --network-alias api -e SECRET=s3 -w /srv -u 1000 --health-cmd 'true' --memory 200m --tmpfs /t -v try-named:/named -v /tmp/try-bind:/bound:ro -v /anon --add-host extra:1.2.3.4 --entrypoint env debian:trixie-slim sleep 100",
    ));
    sh("docker network connect --alias apib try-b try-src");
    sh(
        "mkdir -p /tmp/tryfiles/run/secrets && echo hush > /tmp/tryfiles/run/secrets/key && chmod 600 /tmp/tryfiles/run/secrets/key && echo conf > /tmp/tryfiles/app.conf && mkdir -p /tmp/tryfiles/etc/deep/er && echo deep > /tmp/tryfiles/etc/deep/er/x && tar -C /tmp/tryfiles --owner=1000 --group=1000 -cf - . | docker cp - try-src:/",
    );
    sh("docker run --rm -v try-named:/named debian:trixie-slim sh -c 'echo n > /named/f'");
    println!("changes: {}", sh("docker diff try-src").replace('\n', " "));
    let request = CloneRequest { source: src.clone(), name: "try-clone".into(), labels: BTreeMap::from([("stackwarden.try".to_owned(),"1".to_owned())]), command: vec!["sh".into(),"-c".into(),"id; pwd; echo $SECRET; hostname; cat /named/f /bound/f /app.conf /etc/deep/er/x; cat /run/secrets/key; ls -la /run/secrets; touch /anon/x || true; cat /etc/hosts; echo err >&2; ls -ld /t; mount | grep ' /t '; ip -br a 2>/dev/null || cat /proc/net/dev; printf tail; exit 7".into()], entrypoint: EntrypointPolicy::Keep };
    let t = Instant::now();
    let clone = d.create_clone(request.clone()).await.unwrap();
    println!("clone created in {:?}", t.elapsed());
    println!(
        "again: {}",
        d.create_clone(request.clone()).await.unwrap_err()
    );
    println!(
        "leftovers {:?}",
        d.find_by_label(&[("stackwarden.try", "1")]).await.unwrap()
    );
    let logs = d.follow_logs(&clone);
    d.start(&clone).await.unwrap();
    println!(
        "{}",
        sh(&format!(
            "docker inspect {clone} --format '{{{{json .Config.Labels}}}} {{{{json .NetworkSettings.Networks}}}} {{{{json .HostConfig.PortBindings}}}} {{{{json .HostConfig.RestartPolicy}}}} {{{{json .Config.Healthcheck}}}} {{{{json .Mounts}}}} {{{{json .Config.Image}}}} {{{{.HostConfig.Memory}}}}'"
        ))
    );
    let lines: Vec<_> = logs.collect().await;
    for l in &lines {
        println!("   {:?}", l.as_ref().unwrap());
    }
    println!("exit {:?}", d.wait_exit(&clone, S).await);
    println!("tail {:?}", d.logs_tail(&clone, 2).await);
    println!(
        "list: {:?}",
        d.list(&ProjectName::new("try")).await.unwrap()
    );
    let before = sh("docker volume ls -q | wc -l");
    d.remove(&clone).await.unwrap();
    println!(
        "volumes {before} -> {}; src anon still there: {}",
        sh("docker volume ls -q | wc -l"),
        sh("docker start try-src >/dev/null && docker exec try-src ls -d /anon /named/f")
    );
    // running source, clear
    let mut r2 = request.clone();
    r2.entrypoint = EntrypointPolicy::Clear;
    r2.command = vec!["cat".into(), "/run/secrets/key".into()];
    let c2 = d.create_clone(r2).await.unwrap();
    d.start(&c2).await.unwrap();
    println!(
        "running source: {:?} {:?}",
        d.wait_exit(&c2, S).await,
        d.logs_tail(&c2, 5).await
    );
    println!(
        "usage dead {:?} usage live {:?}",
        d.usage(&c2).await,
        d.usage(&src).await
    );
    d.remove(&c2).await.unwrap();
    // timeout, kill, oom
    let mut r3 = request.clone();
    r3.command = vec!["sleep".into(), "50".into()];
    let c3 = d.create_clone(r3).await.unwrap();
    d.start(&c3).await.unwrap();
    println!(
        "late: {}",
        d.wait_exit(&c3, Duration::from_secs(1)).await.unwrap_err()
    );
    d.kill(&c3).await.unwrap();
    println!("killed {:?}", d.wait_exit(&c3, S).await);
    d.kill(&c3).await.unwrap();
    d.remove(&c3).await.unwrap();
    println!("vanished: {}", d.wait_exit(&c3, S).await.unwrap_err());
    let mut r4 = request.clone();
    r4.command = vec![
        "sh".into(),
        "-c".into(),
        "head -c 400000000 /dev/zero | tail".into(),
    ];
    r4.entrypoint = EntrypointPolicy::Clear;
    let c4 = d.create_clone(r4).await.unwrap();
    d.start(&c4).await.unwrap();
    println!("oom {:?}", d.wait_exit(&c4, S).await);
    d.remove(&c4).await.unwrap();
    let mut r5 = request.clone();
    r5.command = vec!["nothere".into()];
    r5.entrypoint = EntrypointPolicy::Clear;
    let c5 = d.create_clone(r5).await.unwrap();
    println!("start missing: {}", d.start(&c5).await.unwrap_err());
    println!(
        "wait on failed start {:?}",
        d.wait_exit(&c5, Duration::from_secs(1))
            .await
            .map_err(|e| e.to_string())
    );
    d.remove(&c5).await.unwrap();
    println!("server {:?}", d.server_container(&src).await.unwrap());
    println!(
        "content {:?}",
        d.image_content(&d.inspect(&src).await.unwrap().unwrap().image_id)
            .await
            .unwrap()
    );
    d.remove(&src).await.unwrap();
    println!("no source: {}", d.create_clone(request).await.unwrap_err());
    sh(
        "docker network rm try-a try-b; docker volume rm try-named; rm -rf /tmp/try-bind /tmp/tryfiles",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn live_own() {
    let d = docker();
    let own = d.find_own().await.unwrap();
    println!("{own:?}");
    println!(
        "{:?}",
        own.and_then(|o| o.host_path(Path::new("/backups/a/b")))
    );
    println!(
        "{}",
        Docker::connect(Some("unix:///missing.sock"))
            .unwrap()
            .version()
            .await
            .unwrap_err()
    );
}
#[tokio::test(flavor = "multi_thread")]
async fn live_hold() {
    let d = docker();
    let c = ContainerId::new(std::env::var("HOLD").unwrap());
    let mut rq = req(&["sh", "-c", "cat >/dev/null; echo eof > /tmp/eof"]);
    rq.stdin = StdinMode::Attached;
    let a = d.exec(&c, rq).await.unwrap();
    let b = d
        .exec(
            &c,
            req(&["sh", "-c", "while :; do echo t; sleep 0.2; done"]),
        )
        .await
        .unwrap();
    let e = d.exec(&c, req(&["sleep", "333"])).await.unwrap();
    let mut rq = req(&[
        "sh",
        "-c",
        "(sleep 3; echo late; sleep 3; echo survived > /tmp/survived)",
    ]);
    rq.stdin = StdinMode::Attached;
    let f = d.exec(&c, rq).await.unwrap();
    println!("holding {}", std::process::id());
    tokio::time::sleep(Duration::from_secs(100)).await;
    drop((a, b, e, f));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_scratch() {
    let d = docker();
    let image = ImageId::new(sh("docker image inspect postgres:17 --format '{{.Id}}'"));
    std::fs::write("/tmp/try.dump", "dump").unwrap();
    let target = PathBuf::from("/scratch");
    for data in [
        ScratchData::Volume {
            target: target.clone(),
        },
        ScratchData::Tmpfs {
            target: target.clone(),
            size: ByteCount(300_000_000),
        },
    ] {
        let r = ScratchRequest {
            name: "try-proof".into(),
            image_id: image.clone(),
            labels: BTreeMap::from([("stackwarden.try".to_owned(), "1".to_owned())]),
            user: Some("postgres".into()),
            entrypoint: vec!["sleep".into()],
            command: vec!["300".into()],
            env: vec![],
            binds: vec![ReadOnlyBind {
                host: "/tmp/try.dump".into(),
                target: "/in/try.dump".into(),
            }],
            data,
            shm_size: Some(ByteCount(64 << 20)),
            memory: Some(ByteCount(900_000_000)),
            cpu_shares: Some(128),
            blkio_weight: Some(100),
        };
        let t = Instant::now();
        let c = d.create_scratch(r.clone()).await.unwrap();
        println!("created {:?}", t.elapsed());
        println!("taken: {:?}", d.create_scratch(r.clone()).await);
        d.put_file(
            &c,
            Path::new("/opt/deep/run.sh"),
            0o755,
            b"#!/bin/sh\nid; ls -ld /scratch; echo hi\n",
        )
        .await
        .unwrap();
        println!("start: {:?} {:?}", d.start(&c).await, t.elapsed());
        println!("{:?}", d.exec_collect(&c, req(&["sh","-c","/opt/deep/run.sh; cat /in/try.dump; echo x >> /in/try.dump; mkdir /scratch/pg && chmod 700 /scratch/pg && echo ok; cat /proc/1/oom_score_adj; cat /sys/fs/cgroup/blkio/blkio.*weight* /sys/fs/cgroup/cpu/cpu.shares; ls /sys/class/net; df -h /scratch | tail -1"]), None, S).await.map(|r| (r.code, r.stdout, r.stderr)));
        let r = d.exec_collect(&c, req(&["sh","-c","export PATH=$PATH:/usr/lib/postgresql/17/bin; initdb -D /scratch/pg -U app >/dev/null && pg_ctl -D /scratch/pg -w -o '-k /scratch' start >/dev/null 2>&1 && psql -h /scratch -U app -d postgres -tAc 'select version()'"]), None, Duration::from_secs(60)).await.map(|r| (r.code, r.stdout, r.stderr));
        println!("pg: {r:?} {:?}", t.elapsed());
        let v = sh("docker volume ls -q | wc -l");
        d.remove(&c).await.unwrap();
        println!("volumes {v} -> {}", sh("docker volume ls -q | wc -l"));
        let mut bad = r_with_missing(&r0(&image));
        println!(
            "missing bind: {:?}",
            d.create_scratch(bad).await.map_err(|e| e.to_string())
        );
    }
}
fn r0(image: &ImageId) -> ScratchRequest {
    ScratchRequest {
        name: "try-proof2".into(),
        image_id: image.clone(),
        labels: BTreeMap::from([("stackwarden.try".to_owned(), "1".to_owned())]),
        user: None,
        entrypoint: vec!["sleep".into()],
        command: vec!["300".into()],
        env: vec![],
        binds: vec![],
        data: ScratchData::Volume {
            target: "/scratch".into(),
        },
        shm_size: None,
        memory: None,
        cpu_shares: None,
        blkio_weight: None,
    }
}
fn r_with_missing(r: &ScratchRequest) -> ScratchRequest {
    let mut r = r.clone();
    r.binds.push(ReadOnlyBind {
        host: "/nowhere/x".into(),
        target: "/x".into(),
    });
    r
}

#[tokio::test(flavor = "multi_thread")]
async fn live_events() {
    let d = docker();
    let mut hints = d.events(&ProjectName::new("tryev"));
    let t = Instant::now();
    println!("{:?} {:?}", hints.next().await, t.elapsed());
    let act = tokio::task::spawn_blocking(|| {
        let c = sh(
            "docker run -d --label stackwarden.try=1 --label com.docker.compose.project=tryev --health-cmd true --health-interval 1s debian:trixie-slim sleep 60",
        );
        sh(&format!("docker exec {c} true; sleep 3; docker rm -f {c}"));
        sh(
            "docker run --rm --label stackwarden.try=1 --label com.docker.compose.project=other debian:trixie-slim true",
        );
    });
    let mut n = 0;
    loop {
        match tokio::time::timeout(Duration::from_secs(6), hints.next()).await {
            Ok(h) => {
                n += 1;
                println!("{h:?} {:?}", t.elapsed())
            }
            Err(_) => break,
        }
    }
    act.await.unwrap();
    println!("{n} hints");
    let lost = Docker::connect(Some("unix:///nowhere.sock")).unwrap();
    let mut hints = lost.events(&ProjectName::new("tryev"));
    println!(
        "lost: {:?}",
        tokio::time::timeout(Duration::from_secs(3), hints.next()).await
    );
}
