"""Shows what a table of call times does not: nanoseconds a step."""


def pytest_terminal_summary(terminalreporter):
    rows = [
        (dict(report.user_properties)["ns_per_step"], report.nodeid.partition("::")[2])
        for report in terminalreporter.stats.get("passed", [])
        if "ns_per_step" in dict(report.user_properties)
    ]
    if rows:
        terminalreporter.section("nanoseconds a step, medians")
        for ns_per_step, name in rows:
            terminalreporter.write_line(f"{ns_per_step:12,.1f}  {name}")
