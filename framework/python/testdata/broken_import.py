import nowhere_to_be_found


def brokenImport(request):
    return "never"
