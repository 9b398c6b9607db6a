"""Where are decisions and outcomes kept?"""
