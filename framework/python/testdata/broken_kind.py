brokenKind = 42


def other(request):
    return ""
