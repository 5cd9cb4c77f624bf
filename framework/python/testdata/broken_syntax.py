def brokenSyntax(request:
    return "never"
