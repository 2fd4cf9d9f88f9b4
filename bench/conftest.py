"""Shows what a table of call times does not: nanoseconds a step, and shares of a time."""


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
    for report in terminalreporter.stats.get("passed", []):
        shares = dict(report.user_properties).get("shares", {})
        if shares:
            terminalreporter.section(report.nodeid.partition("::")[2])
        for name, share in shares.items():
            terminalreporter.write_line(f"{100 * share:10.3f} %  {name}")
